#include "config/reader.h"

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "base/strings.h"
#include "config/units.h"

namespace berth::config {

using base::Cat;

namespace {

constexpr size_t kMaxText = 4096;
constexpr size_t kMaxItems = 1000;
constexpr size_t kShown = 60;

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, kShown)) out.push_back(static_cast<unsigned char>(c) < ' ' || c == 0x7f ? '?' : c);
  return out + (text.size() > kShown ? "...\"" : "\"");
}

bool PlainText(std::string_view text) {
  return text.size() <= kMaxText && std::none_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) < ' ' || c == 0x7f;
         });
}

bool InRange(const Key& key, int64_t value) {
  return value >= key.min && value <= key.max;
}

bool RightText(const Key& key, const std::string& text) {
  return PlainText(text) && (key.check == nullptr || key.check(text).empty());
}

// Sets the field from a scalar's text; false when that is not a value of its type and range.
struct SetScalar {
  const Key& key;
  const std::string& text;

  bool operator()(bool* field) const {
    if (text != "true" && text != "false") return false;
    *field = text == "true";
    return true;
  }
  bool operator()(int64_t* field) const {
    return Assign(base::ParseInt(text), field, [](int64_t n) { return n; });
  }
  bool operator()(std::string* field) const {
    if (!RightText(key, text)) return false;
    *field = text;
    return true;
  }
  bool operator()(base::Path* field) const {
    if (!RightText(key, text)) return false;
    *field = text;
    return true;
  }
  bool operator()(std::chrono::milliseconds* field) const {
    return Assign(ParseDuration(text), field, [](std::chrono::milliseconds value) { return value.count(); });
  }
  bool operator()(ByteCount* field) const {
    return Assign(ParseSize(text), field, [](ByteCount value) { return static_cast<int64_t>(value.bytes); });
  }
  bool operator()(FileMode* field) const {
    return Assign(ParseMode(text), field, [](FileMode value) { return value.bits; });
  }
  bool operator()(const EnumRef& field) const {
    const auto at = std::find(key.choices.begin(), key.choices.end(), text);
    if (at == key.choices.end()) return false;
    field.set(field.value, static_cast<int>(at - key.choices.begin()));
    return true;
  }
  template <typename T>
  bool operator()(const T&) const {
    return false;  // lists and maps are no scalars
  }

 private:
  template <typename T, typename Number>
  bool Assign(const std::optional<T>& value, T* field, Number&& number) const {
    if (!value || !InRange(key, number(*value))) return false;
    *field = *value;
    return true;
  }
};

bool IsScalarField(const Field& field) {
  return !std::holds_alternative<std::vector<std::string>*>(field) &&
         !std::holds_alternative<std::map<std::string, Runtime>*>(field) &&
         !std::holds_alternative<std::map<std::string, Registry>*>(field);
}

const Key* FindKey(std::span<const Key> keys, std::string_view path) {
  const auto at = std::find_if(keys.begin(), keys.end(), [&](const Key& key) { return key.path == path; });
  return at == keys.end() ? nullptr : &*at;
}

// What may stand at the root (section empty) or in a section, in the table's order.
std::vector<std::string> KnownIn(std::string_view section) {
  std::vector<std::string> out;
  for (const Key& key : ConfigKeys()) {
    std::string_view name = key.path;
    if (!section.empty()) {
      if (!name.starts_with(Cat(section, '.'))) continue;
      name.remove_prefix(section.size() + 1);
    }
    name = name.substr(0, name.find('.'));
    if (out.empty() || out.back() != name) out.emplace_back(name);
  }
  return out;
}

}  // namespace

std::string Reader::Place(const YAML::Node& node) const {
  const YAML::Mark mark = node.Mark();
  return mark.line < 0 || !has_lines_ ? name_ : Cat(name_, ":", mark.line + 1);
}

void Reader::Problem(const YAML::Node& node, const std::string& path, const std::string& text) {
  if (problems_.size() < kMaxProblems)
    problems_.push_back(Cat(Place(node), ": ", path.empty() ? "" : path + ": ", text));
}

void Reader::WrongValue(const YAML::Node& node, const std::string& shown, const std::string& allowed) {
  const std::string what = node.IsNull()       ? "nothing"
                           : node.IsScalar()   ? Quoted(node.Scalar())
                           : node.IsSequence() ? "a list"
                                               : "a map";
  Problem(node, shown, Cat(what, " is not ", allowed));
}

void Reader::UnknownKey(const std::string& path, const YAML::Node& node, const std::vector<std::string>& known) {
  Problem(node, path, Cat("unknown key; known here are ", base::Join(known, ", ")));
}

template <typename Each>
void Reader::ForEach(const std::string& shown, const YAML::Node& node, Each&& each) {
  std::set<std::string> seen;
  for (const auto& entry : node) {
    if (!entry.first.IsScalar() || !PlainText(entry.first.Scalar())) {
      Problem(entry.first, shown, "a key that is not a text of one line");
      continue;
    }
    const std::string& name = entry.first.Scalar();
    if (!seen.insert(name).second) {
      Problem(entry.first, Cat(shown, shown.empty() ? "" : ".", name), "stands here twice");
      continue;
    }
    each(name, entry.first, entry.second);
  }
}

namespace {

// Reads a document for nothing but where it begins.
class Skipper : public YAML::EventHandler {
 public:
  int line() const { return line_; }  // from 0
  void OnDocumentStart(const YAML::Mark& mark) override { line_ = mark.line; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  int line_ = 0;
};

}  // namespace

void Reader::Document(std::string_view yaml, const std::string& name) {
  name_ = name;
  has_lines_ = true;
  try {
    // Not YAML::LoadAll: where a text is no YAML it can go on making empty documents until memory is used up.
    const std::string text(yaml);
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    Skipper skipper;
    if (parser.HandleNextDocument(skipper) && parser.HandleNextDocument(skipper)) {
      problems_.push_back(Cat(name_, ":", skipper.line() + 1, ": a second document; one file holds one"));
      return;
    }
    Root(YAML::Load(text));
  } catch (const YAML::Exception& e) {
    problems_.push_back(Cat(name_, ":", e.mark.line + 1, ": not valid YAML: ", e.msg));
  }
}

void Reader::Root(const YAML::Node& node) {
  if (node.IsNull()) return;
  if (!node.IsMap()) return WrongValue(node, "", "a map of keys");
  ForEach("", node, [&](const std::string& name, const YAML::Node& at, const YAML::Node& value) {
    if (const Key* key = FindKey(ConfigKeys(), name)) return Value(*key, &config_, name, value);
    const auto known = KnownIn("");
    const bool section = std::find(known.begin(), known.end(), name) != known.end();
    if (!section) return UnknownKey(name, at, known);
    Section(name, value);
  });
}

void Reader::Section(const std::string& section, const YAML::Node& node) {
  if (node.IsNull()) return;  // all of its keys are commented out
  if (!node.IsMap()) return WrongValue(node, section, "a map of keys");
  ForEach(section, node, [&](const std::string& name, const YAML::Node& at, const YAML::Node& value) {
    const std::string path = Cat(section, ".", name);
    const Key* key = FindKey(ConfigKeys(), path);
    if (key == nullptr) return UnknownKey(path, at, KnownIn(section));
    Value(*key, &config_, path, value);
  });
}

void Reader::Value(const Key& key, void* object, const std::string& shown, const YAML::Node& node) {
  const Field field = key.field(object);
  places_[shown] = Place(node);
  if (const auto* list = std::get_if<std::vector<std::string>*>(&field)) return List(key, **list, shown, node);
  if (const auto* map = std::get_if<std::map<std::string, Runtime>*>(&field)) return Map(key, **map, shown, node);
  if (const auto* map = std::get_if<std::map<std::string, Registry>*>(&field)) return Map(key, **map, shown, node);
  const bool right = node.IsScalar() && std::visit(SetScalar{key, node.Scalar()}, field);
  if (!right) WrongValue(node, shown, Allowed(key, field));
}

void Reader::List(const Key& key, std::vector<std::string>& list, const std::string& shown, const YAML::Node& node) {
  if (!node.IsSequence()) return WrongValue(node, shown, Allowed(key, &list));
  if (node.size() > kMaxItems) return Problem(node, shown, Cat("a list of more than ", kMaxItems));
  list.clear();
  for (const YAML::Node& item : node) {
    if (item.IsScalar() && RightText(key, item.Scalar())) {
      list.push_back(item.Scalar());
    } else {
      WrongValue(item, shown, Allowed(key, &list));
    }
  }
}

template <typename T>
void Reader::Map(const Key& key, std::map<std::string, T>& map, const std::string& shown, const YAML::Node& node) {
  if (node.IsNull()) return;
  if (!node.IsMap()) return WrongValue(node, shown, Allowed(key, &map));
  if (node.size() > kMaxItems) return Problem(node, shown, Cat("a map of more than ", kMaxItems));
  ForEach(shown, node, [&](const std::string& name, const YAML::Node& at, const YAML::Node& value) {
    const std::string path = Cat(shown, ".", name);
    if (!RightText(key, name)) return Problem(at, path, Cat(Quoted(name), " is not ", key.check(name)));
    if (!value.IsNull()) return Item(map[name], path, value);
    if (map.erase(name) == 0) Problem(at, path, "null removes an entry, and there is none of this name; {} makes one");
  });
}

template <typename T>
void Reader::Item(T& item, const std::string& shown, const YAML::Node& node) {
  if (!node.IsMap()) return WrongValue(node, shown, "a map of keys");
  const auto keys = ItemKeys(static_cast<const std::map<std::string, T>*>(nullptr));
  ForEach(shown, node, [&](const std::string& name, const YAML::Node& at, const YAML::Node& value) {
    const std::string path = Cat(shown, ".", name);
    if (const Key* key = FindKey(keys, name)) return Value(*key, &item, path, value);
    std::vector<std::string> known;
    for (const Key& key : keys) known.emplace_back(key.path);
    UnknownKey(path, at, known);
  });
}

// `rest`: "crun.path". Hosts have dots too, so the last one counts.
template <typename T>
bool Reader::OverrideItem(std::map<std::string, T>& map, const Key& key, std::string_view rest,
                          std::string_view value) {
  const size_t dot = rest.rfind('.');
  const auto keys = ItemKeys(static_cast<const std::map<std::string, T>*>(nullptr));
  const Key* item = dot == std::string_view::npos ? nullptr : FindKey(keys, rest.substr(dot + 1));
  const std::string name(rest.substr(0, dot));
  if (item == nullptr || !RightText(key, name)) return false;
  const bool scalar = IsScalarField(item->field(&map[name]));
  Value(*item, &map[name], Cat(key.path, ".", rest),
        scalar ? YAML::Node(std::string(value)) : YAML::Load(std::string(value)));
  return true;
}

void Reader::Override(std::string_view assignment) {
  name_ = "flag";
  has_lines_ = false;
  const size_t equals = assignment.find('=');
  const std::string path(assignment.substr(0, equals));
  if (equals == std::string_view::npos) return Problem({}, path, "is not of the form key=value");
  const std::string_view value = assignment.substr(equals + 1);
  try {
    if (const Key* key = FindKey(ConfigKeys(), path)) {
      const bool scalar = IsScalarField(key->field(&config_));
      return Value(*key, &config_, path, scalar ? YAML::Node(std::string(value)) : YAML::Load(std::string(value)));
    }
    for (const Key& key : ConfigKeys()) {
      if (!path.starts_with(Cat(key.path, "."))) continue;
      const std::string_view rest = std::string_view(path).substr(key.path.size() + 1);
      const Field field = key.field(&config_);
      const auto* runtimes = std::get_if<std::map<std::string, Runtime>*>(&field);
      const auto* registries = std::get_if<std::map<std::string, Registry>*>(&field);
      if (runtimes != nullptr && OverrideItem(**runtimes, key, rest, value)) return;
      if (registries != nullptr && OverrideItem(**registries, key, rest, value)) return;
    }
    const std::string section = path.substr(0, path.find('.'));
    const auto known = path.find('.') == std::string::npos ? KnownIn("") : KnownIn(section);
    UnknownKey(path, {}, known.empty() ? KnownIn("") : known);
  } catch (const YAML::Exception& e) {
    Problem({}, path, Cat("not valid YAML: ", e.msg));
  }
}

void Reader::Finish() {
  if (!problems_.empty()) return;
  CheckTogether(config_, [&](const std::string& path, const std::string& text) {
    const auto place = places_.find(path);
    problems_.push_back(Cat(place == places_.end() ? "configuration" : place->second, ": ", path, ": ", text));
  });
}

}  // namespace berth::config
