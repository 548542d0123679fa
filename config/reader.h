// One YAML document laid over a Config, key by key.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/keys.h"

namespace YAML {
class Node;
}

namespace berth::config {

// Collects what is wrong instead of stopping at the first; the Config is of no use if problems() is not empty.
class Reader {
 public:
  static constexpr size_t kMaxProblems = 20;

  explicit Reader(Config& config) : config_(config) {}

  void Document(std::string_view yaml, const std::string& name);
  void Override(std::string_view assignment);
  // After the last document: rules over several keys.
  void Finish();

  const std::vector<std::string>& problems() const { return problems_; }

 private:
  void Root(const YAML::Node& node);
  void Section(const std::string& section, const YAML::Node& node);
  void Value(const Key& key, void* object, const std::string& shown, const YAML::Node& node);
  void List(const Key& key, std::vector<std::string>& list, const std::string& shown, const YAML::Node& node);
  template <typename T>
  void Map(const Key& key, std::map<std::string, T>& map, const std::string& shown, const YAML::Node& node);
  template <typename T>
  void Item(T& item, const std::string& shown, const YAML::Node& node);
  template <typename T>
  bool OverrideItem(std::map<std::string, T>& map, const Key& key, std::string_view rest, std::string_view value);

  // Calls each(name, value) for every entry of a map whose names are texts and differ.
  template <typename Each>
  void ForEach(const std::string& shown, const YAML::Node& node, Each&& each);
  void UnknownKey(const std::string& path, const YAML::Node& node, const std::vector<std::string>& known);
  void Problem(const YAML::Node& node, const std::string& path, const std::string& text);
  void WrongValue(const YAML::Node& node, const std::string& shown, const std::string& allowed);
  std::string Place(const YAML::Node& node) const;

  Config& config_;
  std::string name_;  // of the document being read
  bool has_lines_ = true;
  std::map<std::string, std::string> places_;  // where a key was last set, "file:line"
  std::vector<std::string> problems_;
};

}  // namespace berth::config
