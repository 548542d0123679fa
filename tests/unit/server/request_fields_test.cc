// Nothing that a request asks for is dropped in silence: request_fields.txt says of every field what becomes of it.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/file.h"
#include "base/strings.h"
#include "cri-proto/api.pb.h"
#include "cri-proto/cri.h"

namespace berth::server {
namespace {

using google::protobuf::Descriptor;

// "Type.field" of what `type` holds, at any depth.
void Fields(const Descriptor* type, std::set<const Descriptor*>& seen, std::set<std::string>& out) {
  const bool elsewhere = type == cri::ContainerConfig::descriptor() || type->name().starts_with("Windows");
  if (elsewhere || !seen.insert(type).second) return;
  for (int i = 0; i < type->field_count(); ++i) {
    out.insert(base::Cat(type->name(), ".", type->field(i)->name()));
    if (type->field(i)->message_type() != nullptr && !type->field(i)->is_map())
      Fields(type->field(i)->message_type(), seen, out);
  }
}

std::set<std::string> FieldsOfRequests() {
  std::set<const Descriptor*> seen;
  std::set<std::string> out;
  const google::protobuf::FileDescriptor* file = cri::ContainerConfig::descriptor()->file();
  for (int i = 0; i < file->service_count(); ++i) {
    for (int k = 0; k < file->service(i)->method_count(); ++k)
      Fields(file->service(i)->method(k)->input_type(), seen, out);
  }
  return out;
}

// Field -> what becomes of it.
std::map<std::string, std::string> ReadTable() {
  std::map<std::string, std::string> out;
  const auto text = base::ReadFile(BERTH_REQUEST_FIELDS);
  EXPECT_TRUE(text);
  if (!text) return out;
  for (const std::string_view line : base::Split(*text, '\n')) {
    if (line.empty() || line.front() == '#') continue;
    const size_t end = line.find(' ');
    EXPECT_NE(end, std::string_view::npos) << line;
    if (end == std::string_view::npos) continue;
    EXPECT_TRUE(out.emplace(line.substr(0, end), base::Trim(line.substr(end))).second) << line << ": twice";
  }
  return out;
}

TEST(RequestFields, EachHasItsLine) {
  const auto table = ReadTable();
  const auto fields = FieldsOfRequests();
  for (const std::string& field : fields) EXPECT_TRUE(table.contains(field)) << field << " is in no line of the table";
  for (const auto& [field, becomes] : table) {
    EXPECT_TRUE(fields.contains(field)) << field << " is no field";
    const std::string word = becomes.substr(0, becomes.find(' '));
    EXPECT_TRUE(std::set<std::string>({"does", "told", "refused", "unused"}).contains(word))
        << field << ": " << becomes;
    EXPECT_TRUE(word == "refused" || becomes.size() > word.size()) << field << ": where, or why?";
  }
}

}  // namespace
}  // namespace berth::server
