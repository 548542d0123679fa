#include "container/text_check.h"

#include <google/protobuf/message.h>

#include <vector>

#include "base/strings.h"

namespace berth::container {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

base::Status CheckField(const Message& message, const FieldDescriptor* field, int index, const std::string& name) {
  const Reflection& access = *message.GetReflection();
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    return CheckTexts(index < 0 ? access.GetMessage(message, field) : access.GetRepeatedMessage(message, field, index),
                      name);
  }
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return {};
  std::string scratch;
  const std::string& text = index < 0 ? access.GetStringReference(message, field, &scratch)
                                      : access.GetRepeatedStringReference(message, field, index, &scratch);
  if (text.find('\0') == std::string::npos) return {};
  return base::Fail(base::Code::kInvalidArgument, name, " holds a NUL byte");
}

}  // namespace

base::Status CheckTexts(const Message& message, const std::string& name) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->is_map() && (field->name() == "labels" || field->name() == "annotations")) continue;
    const std::string path = base::Cat(name, ".", field->name());
    if (!field->is_repeated()) {
      RETURN_IF_ERROR(CheckField(message, field, -1, path));
      continue;
    }
    for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i)
      RETURN_IF_ERROR(CheckField(message, field, i, path));
  }
  return {};
}

}  // namespace berth::container
