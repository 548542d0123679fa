#include "container/cdi.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "container/yaml.h"
#include "fixtures.h"

namespace berth::container {
namespace {

using Words = std::vector<std::string>;

constexpr const char* kYaml = R"(cdiVersion: "0.6.0"
kind: example.com/gpu
containerEdits:
  env: [DRIVER=1]
  additionalGids: [44, 0]
devices:
  - name: "0"
    containerEdits:
      env: [GPU=0]
      deviceNodes:
        - {path: /dev/gpu0, hostPath: /dev/zero, fileMode: 0660, permissions: rw}
        - {path: /dev/gpuctl, type: c, major: 10, minor: 7, uid: 5, gid: 6}
      mounts:
        - {hostPath: /usr/lib/gpu, containerPath: /lib/gpu, options: [ro, nosuid]}
      hooks:
        - {hookName: createContainer, path: /usr/bin/hook, args: [hook, x], timeout: 3}
  - name: later
    containerEdits: {env: [GPU=later]}
  - name: newer
    containerEdits: {netDevices: [{hostInterfaceName: eth1}]}
)";

class Cdi : public testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) { ASSERT_OK(base::WriteFile(temp_ / name, text)); }
  base::Status Apply(const Words& names) { return devices_.Apply(names, spec_, paths_, kLong); }
  std::string Error(const Words& names) { return ErrorOf(Apply(names)); }

  kernel::TempFolder temp_;
  base::Path first_ = temp_.Folder("first");
  base::Path second_ = temp_.Folder("second");
  kernel::ForeignPaths paths_{WithHelper()};
  CdiDevices devices_{{first_, second_, temp_ / "missing"}};
  oci::Spec spec_;
};

TEST_F(Cdi, DeviceIsAllThatItsFileSays) {
  Write("first/gpu.yaml", kYaml);
  spec_.process.env = {"GPU=none", "A=1"};
  spec_.process.uid = 1000;
  spec_.process.gid = 1001;
  spec_.mounts = {{.destination = "/lib/gpu",
                   .type = "tmpfs",
                   .source = {},
                   .options = {},
                   .uid_mappings = {},
                   .gid_mappings = {}}};
  ASSERT_OK(Apply({"example.com/gpu=0", "example.com/gpu=later"}));
  EXPECT_EQ(spec_.process.env, (Words{"GPU=later", "A=1", "DRIVER=1"}));
  EXPECT_EQ(spec_.process.additional_gids, std::vector<uint32_t>{44}) << "once for the file, and never root's";
  const auto json = nlohmann::json::parse(oci::ToJson(spec_));
  EXPECT_EQ(json["linux"]["devices"].dump(),
            R"([{"fileMode":432,"gid":1001,"major":1,"minor":5,"path":"/dev/gpu0","type":"c","uid":1000},)"
            R"({"gid":6,"major":10,"minor":7,"path":"/dev/gpuctl","type":"c","uid":5}])");
  EXPECT_EQ(
      json["linux"]["resources"]["devices"].dump(),
      R"([{"access":"rw","allow":true,"major":1,"minor":5,"type":"c"},{"access":"rwm","allow":true,"major":10,"minor":7,"type":"c"}])");
  EXPECT_EQ(json["mounts"].dump(),
            R"([{"destination":"/lib/gpu","options":["bind","ro","nosuid"],"source":"/usr/lib/gpu","type":"bind"}])");
  EXPECT_EQ(json["hooks"].dump(), R"({"createContainer":[{"args":["hook","x"],"path":"/usr/bin/hook","timeout":3}]})");
}

TEST_F(Cdi, MountOfADeviceHidesNothingBelowIt) {
  Write(
      "first/x.json",
      R"({"cdiVersion":"1.0.0","kind":"a.b/c","devices":[{"name":"d","containerEdits":{"mounts":[{"hostPath":"/usr","containerPath":"/opt"}]}}]})");
  for (const char* destination : {"/proc", "/opt/data"})
    spec_.mounts.push_back({.destination = destination,
                            .type = "bind",
                            .source = "/x",
                            .options = {},
                            .uid_mappings = {},
                            .gid_mappings = {}});
  ASSERT_OK(Apply({"a.b/c=d"}));
  Words order;
  for (const oci::Mount& mount : spec_.mounts) order.push_back(mount.destination);
  EXPECT_EQ(order, (Words{"/proc", "/opt", "/opt/data"}));
}

TEST_F(Cdi, ChangedFilesAreReadAgainAndTheLaterFolderWins) {
  EXPECT_EQ(Error({"a.b/c=d"}), "CDI_devices: unresolved: a.b/c=d");
  Write("first/x.json",
        R"({"cdiVersion":"1.0.0","kind":"a.b/c","devices":[{"name":"d","containerEdits":{"env":["FROM=1"]}}]})");
  ASSERT_OK(Apply({"a.b/c=d"}));
  EXPECT_EQ(spec_.process.env, Words{"FROM=1"});
  Write("second/y.json",
        R"({"cdiVersion":"1.0.0","kind":"a.b/c","devices":[{"name":"d","containerEdits":{"env":["FROM=2"]}}]})");
  ASSERT_OK(Apply({"a.b/c=d"}));
  EXPECT_EQ(spec_.process.env, Words{"FROM=2"});
  Write("second/y.json",
        R"({"cdiVersion":"1.0.0","kind":"a.b/c","devices":[{"name":"d","containerEdits":{"env":["FROM=3"]}}]})");
  ASSERT_OK(Apply({"a.b/c=d"}));
  EXPECT_EQ(spec_.process.env, Words{"FROM=3"});
}

TEST_F(Cdi, ErrorListsAllThatIsUnresolvedAndTheFilesThatMightHaveHadIt) {
  Write("first/gpu.yaml", kYaml);
  Write("first/one.json", R"({"cdiVersion":"0.3.0","kind":"a.b/c","devices":[{"name":"d"}]})");
  Write("first/two.json", R"({"cdiVersion":"0.3.0","kind":"a.b/c","devices":[{"name":"d"}]})");
  Write("second/bad.json", "{");
  const std::string error = Error({"example.com/gpu=0", "example.com/gpu=9", "a.b/c=d", "x.y/z=1"});
  EXPECT_EQ(
      error.find("CDI_devices: unresolved: example.com/gpu=9, a.b/c=d (twice in one folder), x.y/z=1; unusable: "), 0u)
      << error;
  EXPECT_NE(error.find("second/bad.json"), std::string::npos) << error;
  EXPECT_TRUE(spec_.process.env.empty()) << "nothing is edited then";
}

TEST_F(Cdi, WhatCannotBeAppliedIsNotDropped) {
  Write("first/gpu.yaml", kYaml);
  const base::Status done = Apply({"example.com/gpu=newer"});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, base::Code::kUnimplemented);
  EXPECT_EQ(done.error().message,
            "CDI_devices: example.com/gpu=newer: netDevices of a CDI device is not supported by this version");
}

TEST_F(Cdi, DeviceThatTheHostLacksIsNamed) {
  Write(
      "first/x.json",
      R"({"cdiVersion":"1.0.0","kind":"a.b/c","devices":[{"name":"d","containerEdits":{"deviceNodes":[{"path":"/dev/berth-none"}]}}]})");
  EXPECT_EQ(Error({"a.b/c=d"}), "CDI_devices: a.b/c=d: /dev/berth-none is no device of this host");
}

TEST(CdiSpecs, WhatIsWrongIsSaid) {
  struct Case {
    const char* text;
    const char* error;
  };
  for (const Case& one : {
           Case{R"({"kind":"a.b/c"})", "x.json: cdiVersion \"\" is none from 0.3.0 to 1.0.0"},
           Case{R"({"cdiVersion":"1.1.0","kind":"a.b/c"})", "x.json: cdiVersion \"1.1.0\" is none from 0.3.0 to 1.0.0"},
           Case{R"({"cdiVersion":"1.0.0","kind":"a/"})", "x.json: kind \"a/\" is not of the form vendor/class"},
           Case{R"({"cdiVersion":"1.0.0","kind":"a/b","devices":[{"name":"a=b"}]})",
                "x.json: \"a=b\" is no device's name"},
           Case{R"({"cdiVersion":"1.0.0","kind":"a/b","devices":[{"name":"c"},{"name":"c"}]})",
                "x.json: device c stands twice"},
           Case{R"({"cdiVersion":"1.0.0","kind":"a/b","containerEdits":{"env":["X"]}})",
                "x.json: env \"X\" is not of the form KEY=VALUE"},
           Case{R"({"cdiVersion":"1.0.0","kind":"a/b","containerEdits":{"deviceNodes":[{"path":"dev"}]}})",
                "x.json: deviceNodes: path \"dev\" is not absolute"},
           Case{R"({"cdiVersion":"1.0.0","kind":"a/b","containerEdits":{"hooks":[{"hookName":"now","path":"/x"}]}})",
                "x.json: hooks: hookName \"now\" is unknown"},
       }) {
    EXPECT_EQ(ErrorOf(ParseCdiSpec(one.text, "x.json")), one.error);
  }
}

TEST(CdiRequests, NamesComeFromTheFieldAndFromAnnotationsOnce) {
  cri::ContainerConfig config = SomeContainer();
  config.add_cdi_devices()->set_name("a.b/c=2");
  (*config.mutable_annotations())["cdi.k8s.io/y"] = "a.b/c=1, a.b/c=2";
  (*config.mutable_annotations())["cdi.k8s.io/x"] = "a.b/c=3";
  (*config.mutable_annotations())["other"] = "a.b/c=4";
  auto names = CdiNames(config);
  ASSERT_TRUE(names) << ErrorOf(names);
  EXPECT_EQ(*names, (Words{"a.b/c=2", "a.b/c=3", "a.b/c=1"}));
  (*config.mutable_annotations())["cdi.k8s.io/x"] = "nothing";
  EXPECT_EQ(ErrorOf(CdiNames(config)), "annotation cdi.k8s.io/x: \"nothing\" is not of the form vendor/class=device");
}

TEST(Yaml, ScalarsAreWhatTheyLookLike) {
  const auto parsed =
      ParseYaml("{a: 1, b: '1', c: 0660, d: 0o660, e: 0x10, f: true, g: ~, h: -2, i: 1.5, j: \"\", k: 08}", "x");
  ASSERT_TRUE(parsed) << ErrorOf(parsed);
  EXPECT_EQ(parsed->dump(),
            R"({"a":1,"b":"1","c":432,"d":432,"e":16,"f":true,"g":null,"h":-2,"i":"1.5","j":"","k":"08"})");
}

TEST(Yaml, FewBytesThatStandForManyAreRefused) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    bomb += base::Cat("a", i, ": &a", i, " [");
    for (int j = 0; j < 10; ++j) bomb += base::Cat(j == 0 ? "" : ",", "*a", i - 1);
    bomb += "]\n";
  }
  EXPECT_EQ(ErrorOf(ParseYaml(bomb, "x")), "x: nested too deep, or too large");
  EXPECT_EQ(ErrorOf(ParseYaml(std::string(100, '[') + std::string(100, ']'), "x")), "x: nested too deep, or too large");
  EXPECT_NE(ErrorOf(ParseYaml("a: [", "x")), "");
  EXPECT_EQ(ErrorOf(ParseYaml("{a: 1, a: 2}", "x")), "x: a stands twice");
}

}  // namespace
}  // namespace berth::container
