#include "tests/e2e/harness/token_server.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <ctime>

#include "base/strings.h"

namespace berth::e2e {
namespace {

using base::Cat;
using image::fake::FakeAnswer;
using image::fake::FakeRequest;

constexpr const char* kService = "e2e-registry";
constexpr const char* kIssuer = "e2e-issuer";

std::string UrlDecode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out.push_back(static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16)));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::map<std::string, std::string> ParseForm(const std::string& text) {
  std::map<std::string, std::string> out;
  for (const std::string_view pair : base::Split(text, '&')) {
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos) out[std::string(pair.substr(0, equals))] = UrlDecode(pair.substr(equals + 1));
  }
  return out;
}

std::string Base64Url(std::string_view bytes) {
  std::string out = base::Base64Encode(bytes);
  while (out.ends_with('=')) out.pop_back();
  std::ranges::replace(out, '+', '-');
  std::ranges::replace(out, '/', '_');
  return out;
}

// The base64 of a PEM file's only block, which is the certificate in DER.
std::string BodyOfPem(const std::string& pem) {
  std::string out;
  for (const std::string_view line : base::Split(pem, '\n')) {
    if (!line.starts_with("-----")) out += line;
  }
  return out;
}

std::string Rs256(const std::string& key_pem, const std::string& text) {
  BIO* bio = BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key);
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  size_t size = 0;
  EVP_DigestSign(context, nullptr, &size, bytes, text.size());
  std::string out(size, '\0');
  EVP_DigestSign(context, reinterpret_cast<unsigned char*>(out.data()), &size, bytes, text.size());
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  return out;
}

}  // namespace

TokenServer::TokenServer(Options options) : options_(std::move(options)) {
  http_.SetHook([this](const FakeRequest& request) { return Answer(request); });
}

std::string TokenServer::AuthSection() const {
  return Cat("{token: {realm: '", http_.url(), "/token', service: ", kService, ", issuer: ", kIssuer,
             ", rootcertbundle: ", options_.certificate.string(), "}}");
}

FakeAnswer TokenServer::Answer(const FakeRequest& request) {
  const bool post = request.method == "POST";
  const auto form = ParseForm(post ? request.body : request.query);
  const std::lock_guard lock(mutex_);
  const std::string user = UserOf(request, form);
  if (post && user.empty()) return {.status = 401, .body = "{}"};
  const auto scope = form.find("scope");
  std::string body =
      Cat(R"({"token":")", SignedToken(user, scope == form.end() ? "" : scope->second), R"(","expires_in":300)");
  if (!user.empty()) {
    last_refresh_token_ = Cat("refresh-", ++given_, "-of-", user);
    refresh_tokens_[last_refresh_token_] = user;
    body += Cat(R"(,"refresh_token":")", last_refresh_token_, "\"");
  }
  return {.headers = {{"Content-Type", "application/json"}}, .body = body + "}"};
}

// Empty for nobody that it knows.
std::string TokenServer::UserOf(const FakeRequest& request, const std::map<std::string, std::string>& form) {
  if (const auto refresh = form.find("refresh_token"); refresh != form.end()) {
    ++with_refresh_;
    const auto found = refresh_tokens_.find(refresh->second);
    return found == refresh_tokens_.end() ? "" : found->second;
  }
  const std::string authorization = request.Header("authorization");
  if (authorization.empty()) {
    ++anonymous_;
    return {};
  }
  ++with_password_;
  for (const auto& [user, password] : options_.users) {
    if (authorization == Cat("Basic ", base::Base64Encode(Cat(user, ":", password)))) return user;
  }
  return {};
}

std::string TokenServer::SignedToken(const std::string& user, const std::string& scope) const {
  const std::string certificate = base::ReadFile(options_.certificate).value_or("");
  const std::string key = base::ReadFile(options_.key).value_or("");
  std::string access;
  const auto parts = base::Split(scope, ':');
  if (!user.empty() && parts.size() == 3) {
    access = Cat(R"({"type":")", parts[0], R"(","name":")", parts[1], R"(","actions":["pull"]})");
  }
  const int64_t now = std::time(nullptr);
  const std::string header = Cat(R"({"typ":"JWT","alg":"RS256","x5c":[")", BodyOfPem(certificate), "\"]}");
  const std::string claims =
      Cat(R"({"iss":")", kIssuer, R"(","sub":")", user, R"(","aud":")", kService, R"(","exp":)", now + 300,
          R"(,"nbf":)", now - 60, R"(,"iat":)", now, R"(,"jti":"1","access":[)", access, "]}");
  const std::string text = Cat(Base64Url(header), ".", Base64Url(claims));
  return Cat(text, ".", Base64Url(Rs256(key, text)));
}

int TokenServer::Count(const int& counter) const {
  const std::lock_guard lock(mutex_);
  return counter;
}

void TokenServer::ForgetRefreshTokens() {
  const std::lock_guard lock(mutex_);
  refresh_tokens_.clear();
}

std::string TokenServer::last_refresh_token() const {
  const std::lock_guard lock(mutex_);
  return last_refresh_token_;
}

}  // namespace berth::e2e
