// Image archives: an OCI image layout or docker's "save" format in a tar file, plain or compressed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/file.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "image/content_source.h"
#include "image/decompress.h"
#include "image/platform.h"
#include "image/reference.h"

namespace berth::image {

struct ArchivedImage {
  Resolved top;                  // index or manifest; of docker's format one that is made up
  bool made_up = false;          // its digest means nothing to anybody else
  std::vector<Reference> names;  // may be none
};

// Reads the file once to know where everything is; afterwards members are read in place. Bounded memory whatever the
// file holds. Nothing in it is believed: content is verified as it is for a registry, of docker's format by the layers'
// diff ids.
class Archive : public ContentSource {
 public:
  // `spare` is an empty file, written when the archive is compressed: members must be read in another order than they
  // stand.
  static base::Result<std::shared_ptr<Archive>> Open(const base::Path& file, base::UniqueFd spare,
                                                     const Platform& platform, const base::Context& context,
                                                     const Decompressor::Options& limits = {});

  const std::vector<ArchivedImage>& images() const { return images_; }

  base::Result<Resolved> FetchManifest(const Descriptor& descriptor, const base::Context& context) override;
  base::Result<std::string> FetchSmall(const Descriptor& descriptor, size_t limit,
                                       const base::Context& context) override;
  base::Status FetchBlob(const Descriptor& descriptor, const BlobSink& sink, const base::Context& context) override;
  bool TryAgain() const override { return false; }

 private:
  struct Member {
    int64_t offset = -1;  // -1: not in one piece
    int64_t size = 0;
  };
  class Indexer;

  Archive() = default;
  base::Status Index(const base::Path& file, base::UniqueFd spare, const Decompressor::Options& limits,
                     const base::Context& context);
  base::Status ReadOciIndex(const Platform& platform);
  base::Status ReadDockerManifest();
  base::Result<Member> Find(std::string name) const;
  base::Result<std::string> ReadMember(const std::string& name, size_t limit) const;
  base::Result<Member> FindBlob(const Descriptor& descriptor) const;

  base::UniqueFd fd_;
  std::map<std::string, Member, std::less<>> members_;     // by clean name
  std::map<std::string, std::string, std::less<>> links_;  // clean name -> clean target
  std::map<Digest, std::string> by_diff_id_;               // docker's format: verified when unpacked, not here
  std::vector<ArchivedImage> images_;
};

}  // namespace berth::image
