// A registry on loopback that does what a test tells it to, right or wrong.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "image/digest.h"

namespace berth::image::fake {

struct FakeRequest {
  std::string method;
  std::string path;                            // decoded no further
  std::string query;                           // without "?"
  std::map<std::string, std::string> headers;  // names lower-case
  std::string body;
  std::string Header(const std::string& name) const;
};

struct FakeAnswer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  std::optional<size_t> cut_after = {};    // the connection is closed after so many bytes of the body
  std::optional<size_t> stall_after = {};  // nothing more is sent after so many, until the test ends
  std::optional<size_t> said_length = {};  // Content-Length, when it is not the body's
};

// Each connection has a thread; all end with the registry.
class FakeRegistry {
 public:
  // Sees each request first; no answer: the registry's own content is served.
  using Hook = std::function<std::optional<FakeAnswer>(const FakeRequest&)>;

  FakeRegistry();
  ~FakeRegistry();

  std::string host() const;  // "127.0.0.1:PORT"
  std::string url() const { return "http://" + host(); }
  void SetHook(Hook hook);

  Digest AddBlob(const std::string& repository, const std::string& bytes);
  Digest AddManifest(const std::string& repository, const std::string& tag, const std::string& body,
                     const std::string& media_type);

  std::vector<FakeRequest> requests() const;
  // Requests of this method whose path has `part` in it.
  int Count(const std::string& method, const std::string& part) const;

 private:
  struct Content {
    std::string body;
    std::string media_type;
  };
  void Accept();
  void Serve(int fd);
  bool ServeOne(int fd, std::string& buffer);
  FakeAnswer Answer(const FakeRequest& request);
  bool Send(int fd, const FakeRequest& request, const FakeAnswer& answer);

  base::UniqueFd listener_;
  base::UniqueFd stop_;
  int port_ = 0;
  mutable std::mutex mutex_;
  Hook hook_;
  std::map<std::string, Content> content_;  // by path
  std::vector<FakeRequest> requests_;
  std::vector<std::pair<std::thread, base::UniqueFd>> connections_;
  std::thread accepting_;
};

// A tar archive of regular files, and its gzip form.
std::string Tar(const std::vector<std::pair<std::string, std::string>>& files);
std::string Gzip(const std::string& bytes);
// Bytes that do not compress, the same for the same seed.
std::string Noise(size_t size, unsigned seed = 1);

struct FakeImage {
  std::vector<std::string> tars;
  std::vector<std::string> layers;  // gzip
  std::string config;
  std::string manifest;
  Digest config_digest;
  Digest manifest_digest;
};
// For this host's architecture unless another is named.
FakeImage MakeImage(const std::vector<std::string>& tars, const std::string& architecture = {});
void Push(FakeRegistry& registry, const std::string& repository, const std::string& tag, const FakeImage& image);

}  // namespace berth::image::fake
