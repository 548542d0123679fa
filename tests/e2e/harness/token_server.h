// A token server (distribution's token authentication) for a real registry: it signs what docker-registry believes.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/file.h"
#include "tests/unit/image/fake_registry.h"

namespace berth::e2e {

// Gives tokens for any repository to users that it knows, with a refresh token, and empty ones to everybody else.
class TokenServer {
 public:
  struct Options {
    base::Path certificate;  // PEM, signs itself; the registry's rootcertbundle
    base::Path key;
    std::map<std::string, std::string> users;  // name, password
  };
  explicit TokenServer(Options options);

  // The section "auth" of the registry's configuration.
  std::string AuthSection() const;
  // How often it was asked with a password, with a refresh token, with nothing.
  int with_password() const { return Count(with_password_); }
  int with_refresh() const { return Count(with_refresh_); }
  int anonymous() const { return Count(anonymous_); }
  // Of those that it gave; they are taken until this is called.
  void ForgetRefreshTokens();
  std::string last_refresh_token() const;

 private:
  image::fake::FakeAnswer Answer(const image::fake::FakeRequest& request);
  std::string UserOf(const image::fake::FakeRequest& request, const std::map<std::string, std::string>& form);
  std::string SignedToken(const std::string& user, const std::string& scope) const;
  int Count(const int& counter) const;

  const Options options_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string> refresh_tokens_;  // token, user
  std::string last_refresh_token_;
  int given_ = 0;
  int with_password_ = 0;
  int with_refresh_ = 0;
  int anonymous_ = 0;
  image::fake::FakeRegistry http_;  // last: its threads use the rest
};

}  // namespace berth::e2e
