// The certificate of an https server, read anew when its files have changed.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/ssl/context.hpp>

#include "base/file.h"
#include "base/result.h"

namespace berth::http {

class Tls {
 public:
  struct Options {
    base::Path certificate;  // PEM, with intermediate certificates behind it
    base::Path key;
    base::Path client_ca;  // not empty: clients must have a certificate that this signed
  };
  static base::Result<std::unique_ptr<Tls>> Make(Options options);

  // For the next connection. When the files have changed and are no use, the former content goes on and `problem` says
  // why, once.
  std::shared_ptr<boost::asio::ssl::context> Current(std::string& problem);

 private:
  explicit Tls(Options options) : options_(std::move(options)) {}
  std::string Signature() const;  // changes when a file does
  base::Result<std::shared_ptr<boost::asio::ssl::context>> Load() const;

  const Options options_;
  std::string signature_;
  std::shared_ptr<boost::asio::ssl::context> context_;
};

}  // namespace berth::http
