// The generated descriptors against the table of the interface, in both directions.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/strings.h"
#include "cri-proto/api.pb.h"
#include "cri-proto/berth.pb.h"

namespace {

using berth::base::Cat;
using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

constexpr std::string_view kPackage = "runtime.v1.";

// Names relative to the package, nested ones with a dot.
std::string Local(std::string_view full_name) {
  EXPECT_TRUE(full_name.starts_with(kPackage)) << full_name;
  return std::string(full_name.substr(kPackage.size()));
}

// Facts are written as one line each, so that two sets of lines say what differs.
std::string TypeOf(const FieldDescriptor& field) {
  if (field.is_map()) {
    const Descriptor* entry = field.message_type();
    return Cat("map<", TypeOf(*entry->FindFieldByNumber(1)), ",", TypeOf(*entry->FindFieldByNumber(2)), ">");
  }
  // The table names a nested enum without its message.
  if (field.type() == FieldDescriptor::TYPE_ENUM) return Cat("enum:", field.enum_type()->name());
  if (field.type() == FieldDescriptor::TYPE_MESSAGE) return Cat("message:", field.message_type()->name());
  return field.type_name();
}

std::string LabelOf(const FieldDescriptor& field) {
  if (field.is_map()) return "map";
  if (field.is_repeated()) return "repeated";
  if (const auto* oneof = field.real_containing_oneof()) return Cat("oneof:", oneof->name());
  return field.has_optional_keyword() ? "optional" : "singular";
}

void AddEnum(const EnumDescriptor& type, std::set<std::string>& facts) {
  facts.insert(Cat("enum ", Local(type.full_name())));
  for (int i = 0; i < type.value_count(); ++i)
    facts.insert(Cat("enum_value ", Local(type.full_name()), " ", type.value(i)->name(), " ", type.value(i)->number()));
}

void AddMessage(const Descriptor& type, std::set<std::string>& facts) {
  if (type.options().map_entry()) return;
  const std::string name = Local(type.full_name());
  facts.insert(Cat("message ", name));
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    facts.insert(Cat("field ", name, " ", field.name(), " ", field.number(), " ", TypeOf(field), " ", LabelOf(field)));
  }
  for (int i = 0; i < type.enum_type_count(); ++i) AddEnum(*type.enum_type(i), facts);
  for (int i = 0; i < type.nested_type_count(); ++i) AddMessage(*type.nested_type(i), facts);
}

std::set<std::string> GeneratedFacts() {
  const FileDescriptor& file = *runtime::v1::VersionRequest::descriptor()->file();
  std::set<std::string> facts;
  for (int i = 0; i < file.service_count(); ++i) {
    const auto& service = *file.service(i);
    facts.insert(Cat("service ", Local(service.full_name())));
    for (int j = 0; j < service.method_count(); ++j) {
      const auto& method = *service.method(j);
      facts.insert(Cat("rpc ", Local(service.full_name()), " ", method.name(), " ",
                       Local(method.input_type()->full_name()), " ", Local(method.output_type()->full_name()), " ",
                       method.client_streaming() ? "true" : "false", " ",
                       method.server_streaming() ? "true" : "false"));
    }
  }
  for (int i = 0; i < file.enum_type_count(); ++i) AddEnum(*file.enum_type(i), facts);
  for (int i = 0; i < file.message_type_count(); ++i) AddMessage(*file.message_type(i), facts);
  return facts;
}

// Columns: kind, parent, name, number, type, label, request, response, client_stream, server_stream.
std::string FactOf(const std::vector<std::string_view>& row) {
  const std::string_view kind = row[0];
  if (kind == "service" || kind == "message" || kind == "enum") return Cat(kind, " ", row[2]);
  if (kind == "enum_value") return Cat(kind, " ", row[1], " ", row[2], " ", row[3]);
  if (kind == "field") return Cat(kind, " ", row[1], " ", row[2], " ", row[3], " ", row[4], " ", row[5]);
  if (kind == "rpc") return Cat(kind, " ", row[1], " ", row[2], " ", row[6], " ", row[7], " ", row[8], " ", row[9]);
  return Cat("unknown kind ", kind);
}

std::set<std::string> TableFacts() {
  const auto text = berth::base::ReadFile(CRI_TABLE);
  if (!text) {
    ADD_FAILURE() << text.error().Text();
    return {};
  }
  std::set<std::string> facts;
  bool heading = true;
  for (std::string_view line : berth::base::Split(*text, '\n')) {
    const auto row = berth::base::Split(line, '\t');
    if (heading || line.empty()) {
      heading = false;
      continue;
    }
    if (row.size() != 10) {
      ADD_FAILURE() << "a row has " << row.size() << " columns: " << line;
      continue;
    }
    EXPECT_TRUE(facts.insert(FactOf(row)).second) << "twice in the table: " << line;
  }
  return facts;
}

TEST(ApiTable, EveryRowIsInTheGeneratedCode) {
  const auto generated = GeneratedFacts();
  const auto table = TableFacts();
  EXPECT_EQ(table.size(), 804u);
  for (const auto& fact : table) EXPECT_TRUE(generated.contains(fact)) << "missing: " << fact;
}

TEST(ApiTable, GeneratedCodeHasNothingThatIsNotInTheTable) {
  const auto table = TableFacts();
  for (const auto& fact : GeneratedFacts()) EXPECT_TRUE(table.contains(fact)) << "not in the table: " << fact;
}

TEST(ApiTable, PackageIsTheOneOfTheInterface) {
  EXPECT_EQ(runtime::v1::VersionRequest::descriptor()->file()->package(), "runtime.v1");
  EXPECT_EQ(berth::v1::PullProgressRequest::descriptor()->file()->package(), "berth.v1");
}

TEST(ApiMessages, EnvironmentValueThatIsNotUtf8IsParsed) {
  runtime::v1::KeyValue in;
  in.set_key("k");
  in.set_value("\xff\xfe");
  runtime::v1::KeyValue out;
  ASSERT_TRUE(out.ParseFromString(in.SerializeAsString()));
  EXPECT_EQ(out.value(), "\xff\xfe");
}

TEST(ApiMessages, FieldsOfANewerVersionSurviveARoundTrip) {
  runtime::v1::VersionRequest in;
  in.set_version("v1");
  // Field 1000, varint 7.
  const std::string newer = in.SerializeAsString() + std::string("\xc0\x3e\x07", 3);
  runtime::v1::VersionRequest out;
  ASSERT_TRUE(out.ParseFromString(newer));
  EXPECT_EQ(out.SerializeAsString(), newer);
}

TEST(ApiMessages, NumberOfAnUnknownEnumValueIsKept) {
  runtime::v1::ContainerConfig config;
  config.set_stop_signal(static_cast<runtime::v1::Signal>(4242));
  runtime::v1::ContainerConfig out;
  ASSERT_TRUE(out.ParseFromString(config.SerializeAsString()));
  EXPECT_EQ(static_cast<int>(out.stop_signal()), 4242);
}

}  // namespace
