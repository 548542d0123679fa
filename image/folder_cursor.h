// Walks the folders of a layer that is being written, keeping those on the way open.
#pragma once

#include <ctime>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace berth::image {

// Where the cursor is. The descriptor is an O_PATH one, valid until the cursor moves.
struct CurrentFolder {
  int fd = -1;
  std::string_view path;      // without symbolic links, clean, "" for the root; valid until the cursor moves
  bool passes_group = false;  // setgid: what is made here gets the folder's group
};

// Nothing outside the root can be reached: each component is opened by itself without following links, and links are
// walked here, as if the root were "/". A folder's modification time is what it was before things were made in it. The
// tree has no other writer. Not thread-safe.
class FolderCursor {
 public:
  // Called with the path of each folder that had to be made on the way. `whiteout`: one stood in its place, so nothing
  // below shows.
  using OnMade = std::function<base::Status(const std::string& path, bool whiteout)>;

  static base::Result<FolderCursor> Create(base::UniqueFd root, OnMade on_made);
  FolderCursor(FolderCursor&&) = default;
  FolderCursor& operator=(FolderCursor&&) = default;

  // Goes to a folder (a clean path), making what is missing with mode 0755. kInvalidArgument when something on the way
  // is no folder.
  base::Result<CurrentFolder> Enter(std::string_view path);
  // To be called before a name in the current folder is taken away: it may be part of how we came here.
  void Forget() { entered_valid_ = false; }
  // Something is about to be made or removed in the current folder.
  void Touch() { levels_.back().touched = true; }
  // The time to leave on the root.
  void SetRootTime(timespec mtime);

  // Puts back all times.
  base::Status Leave();

  int root() const { return levels_.front().fd.get(); }

 private:
  struct Level {
    std::string name;
    base::UniqueFd fd;
    timespec mtime{};
    bool setgid = false;
    bool touched = false;
  };

  explicit FolderCursor(OnMade on_made) : on_made_(std::move(on_made)) {}
  base::Status Walk(std::vector<std::string> todo);  // the next component last
  base::Status Down(std::string_view name, std::vector<std::string>& todo, int& links);
  base::Status Make(std::string_view name, bool whiteout);
  base::Status Push(std::string_view name, base::UniqueFd fd);
  base::Status Pop();
  base::Status Restore(Level& level);
  CurrentFolder Current() const;

  OnMade on_made_;
  std::vector<Level> levels_;  // the root first
  std::string path_;           // of the last level
  std::string entered_;        // what Enter was last called with
  bool entered_valid_ = false;
};

}  // namespace berth::image
