#include "server/telemetry/measured.h"

#include <type_traits>
#include <utility>

#include "base/time.h"

namespace berth::telemetry {
namespace {

class MeasuredRunner : public network::PluginRunner {
 public:
  MeasuredRunner(std::unique_ptr<network::PluginRunner> runner, Metrics& metrics)
      : runner_(std::move(runner)), metrics_(metrics) {}

  base::Result<std::string> Exec(std::string_view type, std::string_view command, const network::Environment& variables,
                                 std::string_view config, const base::Context& context, int* code) override {
    const base::TimePoint begun = base::Monotonic::now();
    auto output = runner_->Exec(type, command, variables, config, context, code);
    metrics_.PluginRan(type, command, base::Monotonic::now() - begun, !output);
    return output;
  }
  base::Result<base::Path> Find(std::string_view type) const override { return runner_->Find(type); }

 private:
  const std::unique_ptr<network::PluginRunner> runner_;
  Metrics& metrics_;
};

class MeasuredRuntime : public oci::Runtime {
 public:
  MeasuredRuntime(std::shared_ptr<oci::Runtime> runtime, Metrics& metrics)
      : runtime_(std::move(runtime)), metrics_(metrics) {}

  const std::string& name() const override { return runtime_->name(); }
  std::vector<std::string> CreateArguments(const oci::CreateOptions& options) const override {
    return runtime_->CreateArguments(options);
  }
  std::vector<std::string> Environment(const base::Context& context) const override {
    return runtime_->Environment(context);
  }
  std::shared_ptr<const oci::Features> KnownFeatures() const override { return runtime_->KnownFeatures(); }
  // Known after the first time, and then nothing is run.
  base::Result<oci::Features> GetFeatures(const base::Context& context) override {
    return runtime_->GetFeatures(context);
  }

  base::Status Start(const std::string& id, const base::Context& context) override {
    return Run("start", [&] { return runtime_->Start(id, context); });
  }
  base::Status Kill(const std::string& id, int signal, bool all, const base::Context& context) override {
    return Run("kill", [&] { return runtime_->Kill(id, signal, all, context); });
  }
  base::Status Delete(const std::string& id, bool force, const base::Context& context) override {
    return Run("delete", [&] { return runtime_->Delete(id, force, context); });
  }
  base::Result<oci::State> GetState(const std::string& id, const base::Context& context) override {
    return Run("state", [&] { return runtime_->GetState(id, context); });
  }
  base::Status Update(const std::string& id, std::string_view resources, const base::Context& context) override {
    return Run("update", [&] { return runtime_->Update(id, resources, context); });
  }
  base::Status Checkpoint(const oci::CheckpointOptions& options, const base::Context& context) override {
    return Run("checkpoint", [&] { return runtime_->Checkpoint(options, context); });
  }
  base::Path RestoreMount(const std::string& id) const override { return runtime_->RestoreMount(id); }
  // Until it runs: how long it then takes is the command's business.
  base::Result<base::Child> Exec(const oci::ExecOptions& options, const base::Context& context) override {
    return Run("exec", [&] { return runtime_->Exec(options, context); });
  }

 private:
  template <typename Work>
  std::invoke_result_t<Work> Run(std::string_view operation, Work work) {
    const base::TimePoint begun = base::Monotonic::now();
    auto result = work();
    metrics_.RuntimeRan(operation, base::Monotonic::now() - begun, !result);
    return result;
  }

  const std::shared_ptr<oci::Runtime> runtime_;
  Metrics& metrics_;
};

}  // namespace

std::unique_ptr<network::PluginRunner> Measured(std::unique_ptr<network::PluginRunner> runner, Metrics& metrics) {
  return std::make_unique<MeasuredRunner>(std::move(runner), metrics);
}
std::shared_ptr<oci::Runtime> Measured(std::shared_ptr<oci::Runtime> runtime, Metrics& metrics) {
  return std::make_shared<MeasuredRuntime>(std::move(runtime), metrics);
}

}  // namespace berth::telemetry
