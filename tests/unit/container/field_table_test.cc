// Every field of a container's request, and what comes of it in config.json: the table is field_table.txt.
#include <fcntl.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "container/cdi.h"
#include "container/spec.h"
#include "fixtures.h"

namespace berth::container {
namespace {

using Lines = std::multiset<std::string>;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// "process.cwd \"/\"": a line for each value, and for each element of a list.
void Flatten(const nlohmann::json& value, const std::string& path, Lines& out) {
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) Flatten(member, path.empty() ? key : path + "." + key, out);
  } else if (value.is_array()) {
    for (const auto& element : value) out.insert(path + "[] " + element.dump());
  } else {
    out.insert(path + " " + value.dump());
  }
}

// Every field that holds no message, as "linux.resources.cpu_quota".
void AllFields(const Descriptor* type, const std::string& prefix, std::set<std::string>& out) {
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const std::string path = prefix + field->name();
    if (field->message_type() == nullptr || field->is_map())
      out.insert(path);
    else
      AllFields(field->message_type(), path + ".", out);
  }
}

void SetFields(const Message& message, const std::string& prefix, std::set<std::string>& out) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = prefix + field->name();
    if (field->message_type() == nullptr || field->is_map()) {
      out.insert(path);
    } else if (field->is_repeated()) {
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
        SetFields(message.GetReflection()->GetRepeatedMessage(message, field, i), path + ".", out);
      }
    } else {
      SetFields(message.GetReflection()->GetMessage(message, field), path + ".", out);
    }
  }
}

struct Case {
  int line = 0;
  std::string request;  // text of a ContainerConfig
  std::string pod;      // of a PodSandboxConfig
  std::vector<std::string> expected;
  std::vector<std::string> some;  // beginnings of lines of which there is at least one and which are too many to list
};
struct Table {
  std::vector<Case> cases;
  std::vector<std::string> elsewhere;  // fields that config.json does not show
};

Table ReadTable() {
  Table table;
  Case current;
  int number = 0;
  const std::string text = kernel::Contents(BERTH_FIELD_TABLE);
  for (const std::string_view view : base::Split(text, '\n')) {
    const std::string line(view);
    ++number;
    if (line.starts_with("container: "))
      current.line = number, current.request += line.substr(11) + "\n";
    else if (line.starts_with("pod: "))
      current.pod += line.substr(5) + "\n";
    else if (line.starts_with("elsewhere: "))
      table.elsewhere.push_back(line.substr(11, line.find(' ', 11) - 11));
    else if (line.starts_with("* "))
      current.some.push_back(line.substr(2));
    else if (line.starts_with("+ ") || line.starts_with("- ") || line.starts_with("! "))
      current.expected.push_back(line);
    else if (line.empty() && current.line != 0)
      table.cases.push_back(std::exchange(current, {}));
    else if (!line.empty() && !line.starts_with("#"))
      ADD_FAILURE() << "line " << number << ": " << line;
  }
  if (current.line != 0) table.cases.push_back(current);
  return table;
}

class FieldTable : public testing::Test {
 protected:
  FieldTable() {
    const base::Path etc = temp_.Folder("rootfs/etc");
    EXPECT_OK(base::WriteFile(etc / "passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n"));
    EXPECT_OK(base::WriteFile(etc / "group", "users:x:100:\nstaff:x:50:ann\n"));
    EXPECT_OK(base::WriteFile(
        temp_.Folder("cdi") / "v.json",
        R"({"cdiVersion":"0.6.0","kind":"v.com/gpu","devices":[{"name":"0","containerEdits":{"env":["GPU=0"]}}]})"));
    EXPECT_OK(base::WriteFile(temp_ / "filter.json", R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]})"));
  }

  base::Result<nlohmann::json> Map(const Case& one) {
    cri::ContainerConfig config = SomeContainer();
    EXPECT_TRUE(Parse(one.request, config)) << "line " << one.line;
    Pod pod =
        SomePod([&](cri::PodSandboxConfig& wanted) { EXPECT_TRUE(Parse(one.pod, wanted)) << "line " << one.line; });
    if (pod.config->linux().security_context().namespace_options().network() == cri::NODE)
      pod.net_namespace.clear(), pod.uts_namespace.clear();
    if (pod.config->linux().security_context().namespace_options().ipc() == cri::NODE) pod.ipc_namespace.clear();
    if (pod.config->linux().security_context().namespace_options().pid() == cri::POD)
      pod.pid_namespace = "/run/berth/p1/ns/pid";
    if (const auto& space = pod.config->linux().security_context().namespace_options().userns_options();
        space.uids_size() == 1) {
      pod.user_namespace = {.path = "/run/berth/p1/ns/user",
                            .map = {.uids = {space.uids(0).host_id(), space.uids(0).length()},
                                    .gids = {space.gids(0).host_id(), space.gids(0).length()}}};
    }
    RETURN_IF_ERROR(CheckConfig(config, pod));
    const auto& security = config.linux().security_context();
    ASSIGN_OR_RETURN(const base::UniqueFd root, base::Open(temp_ / "rootfs", O_PATH | O_DIRECTORY));
    ASSIGN_OR_RETURN(const User user, ResolveUser(root.get(), security, "0"));
    ASSIGN_OR_RETURN(oci::Spec spec, BuildSpec({.config = config,
                                                .pod = pod,
                                                .image = image_,
                                                .user = user,
                                                .container_id = "c1",
                                                .image_name = "app:1",
                                                .rootfs = "/rootfs",
                                                .cgroups_path = "/podu1/berth-c1",
                                                .labels = LabelsOf(security, "system_u:system_r:container_t:s0:c1,c2"),
                                                .target_namespace = "/proc/77/ns/pid"},
                                               options_, paths_, kLong));
    ASSIGN_OR_RETURN(const auto devices, CdiNames(config));
    RETURN_IF_ERROR(cdi_.Apply(devices, spec, paths_, kLong));
    return nlohmann::json::parse(oci::ToJson(spec));
  }

  // What differs from the request without the fields: "- line" and "+ line"; or "! CODE: message".
  std::vector<std::string> Effect(const Case& one) {
    const auto mapped = Map(one);
    if (!mapped) return {base::Cat("! ", base::CodeName(mapped.error().code), ": ", mapped.error().message)};
    const auto plain = Map({});
    EXPECT_TRUE(plain) << ErrorOf(plain);
    Lines before, after;
    Flatten(*plain, "", before);
    Flatten(*mapped, "", after);
    std::vector<std::string> out;
    const auto missing = [&](const Lines& from, const Lines& in, const char* sign) {
      std::vector<std::string> lines;
      std::set_difference(from.begin(), from.end(), in.begin(), in.end(), std::back_inserter(lines));
      for (const std::string& line : lines) out.push_back(sign + line);
    };
    missing(before, after, "- ");
    missing(after, before, "+ ");
    return out;
  }

  // TMP stands for the test's folder.
  std::string Shown(std::string text) const {
    const std::string& folder = temp_.path().native();
    for (size_t at; (at = text.find(folder)) != std::string::npos;) text.replace(at, folder.size(), "TMP");
    return text;
  }
  template <typename Message>
  bool Parse(std::string text, Message& out) const {
    for (size_t at; (at = text.find("TMP")) != std::string::npos;) text.replace(at, 3, temp_.path().native());
    return google::protobuf::TextFormat::MergeFromString(text, &out);
  }

  kernel::TempFolder temp_;
  kernel::ForeignPaths paths_{WithHelper()};
  CdiDevices cdi_{{temp_ / "cdi"}};
  image::ImageConfig image_{.entrypoint = {"/bin/entry"}};
  Handler handler_{.privileged_without_host_devices = true, .allowed_annotations = {"allowed.example.com/*"}};
  SpecOptions options_{.default_capabilities = {"CHOWN"},
                       .own_capabilities = 0b111111,
                       .clamp_oom_score_adj = false,
                       .resources = {.cgroup_v2 = true, .swap_controller = true, .hugetlb_controller = true},
                       .handler = handler_,
                       .mounts = {.recursive_read_only = true, .cgroup_v2 = true},
                       .oci_version = "1.0.2"};
};

TEST_F(FieldTable, EachFieldDoesWhatTheTableSays) {
  for (const Case& one : ReadTable().cases) {
    std::vector<std::string> effect;
    std::set<std::string> some;
    for (const std::string& raw : Effect(one)) {
      const std::string line = Shown(raw);
      const auto many = std::find_if(one.some.begin(), one.some.end(),
                                     [&](const std::string& begin) { return line.substr(2).starts_with(begin); });
      if (many == one.some.end())
        effect.push_back(line);
      else
        some.insert(*many);
    }
    EXPECT_EQ(effect, one.expected) << "line " << one.line << ": " << one.request << one.pod << "got:\n"
                                    << base::Join(effect, "\n");
    EXPECT_EQ(some, std::set<std::string>(one.some.begin(), one.some.end())) << "line " << one.line;
  }
}

TEST_F(FieldTable, NoFieldIsMissing) {
  const Table table = ReadTable();
  std::set<std::string> known(table.elsewhere.begin(), table.elsewhere.end());
  for (const Case& one : table.cases) {
    cri::ContainerConfig config;
    ASSERT_TRUE(Parse(one.request, config));
    SetFields(config, "", known);
  }
  std::set<std::string> all;
  AllFields(cri::ContainerConfig::descriptor(), "", all);
  for (const std::string& field : all) {
    EXPECT_TRUE(known.contains(field) || field.starts_with("windows.")) << field << " is in no line of the table";
  }
  for (const std::string& field : table.elsewhere) EXPECT_TRUE(all.contains(field)) << field << " is no field";
}

}  // namespace
}  // namespace berth::container
