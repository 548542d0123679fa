#include "fake_registry.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <zlib.h>

#include <cstring>
#include <random>

#include "base/strings.h"
#include "image/manifest.h"
#include "image/media_type.h"

namespace berth::image::fake {
namespace {

// False when the registry ends first.
bool WaitFor(int fd, short events, int stop) {
  pollfd fds[2] = {{fd, events, 0}, {stop, POLLIN, 0}};
  while (poll(fds, 2, -1) < 0) {
  }
  return fds[1].revents == 0;
}

bool SendAll(int fd, std::string_view bytes, int stop) {
  while (!bytes.empty()) {
    if (!WaitFor(fd, POLLOUT, stop)) return false;
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// With a reset, so that the client sees a broken connection rather than an end.
void Reset(int fd) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

}  // namespace

std::string FakeRequest::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

FakeRegistry::FakeRegistry()
    : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), stop_(eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener_.get(), generic, length) != 0 || listen(listener_.get(), 64) != 0) std::abort();
  getsockname(listener_.get(), generic, &length);
  port_ = ntohs(address.sin_port);
  accepting_ = std::thread([this] { Accept(); });
}

FakeRegistry::~FakeRegistry() {
  eventfd_write(stop_.get(), 1);
  accepting_.join();
  for (auto& [thread, fd] : connections_) thread.join();
}

std::string FakeRegistry::host() const {
  return base::Cat("127.0.0.1:", port_);
}

void FakeRegistry::SetHook(Hook hook) {
  const std::lock_guard lock(mutex_);
  hook_ = std::move(hook);
}

Digest FakeRegistry::AddBlob(const std::string& repository, const std::string& bytes) {
  const Digest digest = Sha256::Of(bytes);
  const std::lock_guard lock(mutex_);
  content_[base::Cat("/v2/", repository, "/blobs/", digest.str())] = {bytes, "application/octet-stream"};
  return digest;
}

Digest FakeRegistry::AddManifest(const std::string& repository, const std::string& tag, const std::string& body,
                                 const std::string& media_type) {
  const Digest digest = Sha256::Of(body);
  const std::lock_guard lock(mutex_);
  content_[base::Cat("/v2/", repository, "/manifests/", digest.str())] = {body, media_type};
  if (!tag.empty()) content_[base::Cat("/v2/", repository, "/manifests/", tag)] = {body, media_type};
  return digest;
}

std::vector<FakeRequest> FakeRegistry::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

int FakeRegistry::Count(const std::string& method, const std::string& part) const {
  int count = 0;
  for (const FakeRequest& request : requests()) {
    if (request.method == method && request.path.find(part) != std::string::npos) ++count;
  }
  return count;
}

void FakeRegistry::Accept() {
  while (WaitFor(listener_.get(), POLLIN, stop_.get())) {
    base::UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) continue;
    const int fd = connection.get();
    connections_.emplace_back(std::thread([this, fd] { Serve(fd); }), std::move(connection));
  }
}

void FakeRegistry::Serve(int fd) {
  std::string buffer;
  while (ServeOne(fd, buffer)) {
  }
  shutdown(fd, SHUT_RDWR);
}

bool FakeRegistry::ServeOne(int fd, std::string& buffer) {
  const auto more = [&] {
    char piece[4096];
    if (!WaitFor(fd, POLLIN, stop_.get())) return false;
    const ssize_t got = recv(fd, piece, sizeof piece, 0);
    if (got > 0) buffer.append(piece, static_cast<size_t>(got));
    return got > 0;
  };
  size_t end = std::string::npos;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
    if (!more()) return false;
  }
  FakeRequest request;
  const std::string head = buffer.substr(0, end);
  buffer.erase(0, end + 4);
  const auto lines = base::Split(head, '\n');
  const auto words = base::Split(base::Trim(lines[0]), ' ');
  request.method = words[0];
  request.path = words[1].substr(0, words[1].find('?'));
  if (request.path.size() < words[1].size()) request.query = words[1].substr(request.path.size() + 1);
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t colon = lines[i].find(':');
    request.headers[base::Lower(lines[i].substr(0, colon))] = base::Trim(lines[i].substr(colon + 1));
  }
  const auto length = static_cast<size_t>(base::ParseInt(request.Header("content-length")).value_or(0));
  while (buffer.size() < length) {
    if (!more()) return false;
  }
  request.body = buffer.substr(0, length);
  buffer.erase(0, length);
  const FakeAnswer answer = Answer(request);
  return Send(fd, request, answer);
}

FakeAnswer FakeRegistry::Answer(const FakeRequest& request) {
  Hook hook;
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    hook = hook_;
  }
  if (hook) {
    if (auto answer = hook(request)) return *std::move(answer);
  }
  const std::lock_guard lock(mutex_);
  const auto found = content_.find(request.path);
  if (found == content_.end()) {
    return {.status = 404, .body = R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})"};
  }
  const Content& content = found->second;
  FakeAnswer answer{
      .headers = {{"Content-Type", content.media_type}, {"Docker-Content-Digest", Sha256::Of(content.body).str()}},
      .body = content.body};
  const std::string range = request.Header("range");
  if (range.starts_with("bytes=")) {
    const auto first =
        static_cast<size_t>(base::ParseInt(std::string_view(range).substr(6, range.find('-') - 6)).value_or(0));
    answer.status = 206;
    answer.body = content.body.substr(first);
    answer.headers.emplace_back("Content-Range",
                                base::Cat("bytes ", first, "-", content.body.size() - 1, "/", content.body.size()));
  }
  return answer;
}

bool FakeRegistry::Send(int fd, const FakeRequest& request, const FakeAnswer& answer) {
  std::string head = base::Cat("HTTP/1.1 ", answer.status, " Whatever\r\n");
  for (const auto& [name, value] : answer.headers) head += base::Cat(name, ": ", value, "\r\n");
  head += base::Cat("Content-Length: ", answer.said_length.value_or(answer.body.size()), "\r\n\r\n");
  if (!SendAll(fd, head, stop_.get())) return false;
  if (request.method == "HEAD") return true;
  std::string_view body = answer.body;
  if (answer.cut_after) body = body.substr(0, *answer.cut_after);
  if (answer.stall_after) body = body.substr(0, *answer.stall_after);
  if (!SendAll(fd, body, stop_.get())) return false;
  if (answer.stall_after) {
    // Until the other side leaves or the registry ends.
    char none = 0;
    if (WaitFor(fd, POLLIN, stop_.get())) (void)recv(fd, &none, 1, 0);
    return false;
  }
  if (answer.cut_after) Reset(fd);
  return !answer.cut_after && !answer.said_length;
}

std::string Tar(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string out;
  for (const auto& [name, content] : files) {
    std::string header(512, '\0');
    const auto put = [&](size_t at, const std::string& text) { header.replace(at, text.size(), text); };
    const auto octal = [](size_t value, int width) {
      char text[16];
      snprintf(text, sizeof text, "%0*zo", width, value);
      return std::string(text);
    };
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, octal(content.size(), 11));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, std::string("ustar\0"
                         "00",
                         8));
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<uint8_t>(c);
    put(148, octal(sum, 6) + std::string("\0 ", 2));
    out += header + content;
    out.resize((out.size() + 511) / 512 * 512);
  }
  out.append(1024, '\0');
  return out;
}

std::string Gzip(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  std::string input = bytes;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Noise(size_t size, unsigned seed) {
  std::minstd_rand random(seed);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random() >> 8);
  return out;
}

FakeImage MakeImage(const std::vector<std::string>& tars, const std::string& architecture) {
  FakeImage image;
  image.tars = tars;
  std::string diff_ids;
  std::string layers;
  for (const std::string& tar : tars) {
    image.layers.push_back(Gzip(tar));
    const std::string separator = diff_ids.empty() ? "" : ",";
    diff_ids += base::Cat(separator, "\"", Sha256::Of(tar).str(), "\"");
    layers += base::Cat(separator, R"({"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":")",
                        Sha256::Of(image.layers.back()).str(), R"(","size":)", image.layers.back().size(), "}");
  }
  image.config =
      base::Cat(R"({"os":"linux","architecture":")", architecture.empty() ? HostPlatform().architecture : architecture,
                R"(","config":{"User":"7"},"rootfs":{"type":"layers","diff_ids":[)", diff_ids, "]}}");
  image.config_digest = Sha256::Of(image.config);
  image.manifest = base::Cat(R"({"schemaVersion":2,"mediaType":")", kOciManifest, R"(","config":{"mediaType":")",
                             kOciConfig, R"(","digest":")", image.config_digest.str(), R"(","size":)",
                             image.config.size(), R"(},"layers":[)", layers, "]}");
  image.manifest_digest = Sha256::Of(image.manifest);
  return image;
}

void Push(FakeRegistry& registry, const std::string& repository, const std::string& tag, const FakeImage& image) {
  for (const std::string& layer : image.layers) registry.AddBlob(repository, layer);
  registry.AddBlob(repository, image.config);
  registry.AddManifest(repository, tag, image.manifest, std::string(kOciManifest));
}

}  // namespace berth::image::fake
