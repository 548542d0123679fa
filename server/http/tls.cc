#include "server/http/tls.h"

#include <sys/stat.h>

#include <openssl/ssl.h>

namespace berth::http {

namespace ssl = boost::asio::ssl;

base::Result<std::unique_ptr<Tls>> Tls::Make(Options options) {
  std::unique_ptr<Tls> out(new Tls(std::move(options)));
  out->signature_ = out->Signature();
  ASSIGN_OR_RETURN(out->context_, out->Load());
  return out;
}

std::shared_ptr<ssl::context> Tls::Current(std::string& problem) {
  const std::string now = Signature();
  if (now == signature_) return context_;
  signature_ = now;
  if (auto loaded = Load())
    context_ = *loaded;
  else
    problem = loaded.error().message;
  return context_;
}

std::string Tls::Signature() const {
  std::string out;
  for (const base::Path& path : {options_.certificate, options_.key, options_.client_ca}) {
    struct stat info {};
    if (path.empty() || stat(path.c_str(), &info) != 0) info = {};
    out += base::Cat(info.st_dev, " ", info.st_ino, " ", info.st_size, " ", info.st_mtim.tv_sec, ".",
                     info.st_mtim.tv_nsec, "\n");
  }
  return out;
}

base::Result<std::shared_ptr<ssl::context>> Tls::Load() const {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  // A connection is a whole session here: resuming one would save nothing, and would skip the client's certificate.
  SSL_CTX_set_session_cache_mode(context->native_handle(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context->native_handle(), 0);
  boost::system::error_code error;
  const auto failed = [&](const base::Path& path) {
    return base::Fail(base::Code::kInvalidArgument, "TLS: ", path.native(), ": ", error.message());
  };
  if (context->use_certificate_chain_file(options_.certificate.native(), error)) return failed(options_.certificate);
  if (context->use_private_key_file(options_.key.native(), ssl::context::pem, error)) return failed(options_.key);
  if (SSL_CTX_check_private_key(context->native_handle()) != 1) {
    return base::Fail(base::Code::kInvalidArgument, "TLS: ", options_.key.native(), " is not the key of ",
                      options_.certificate.native());
  }
  if (options_.client_ca.empty()) return context;
  if (context->load_verify_file(options_.client_ca.native(), error)) return failed(options_.client_ca);
  context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert, error);
  return context;
}

}  // namespace berth::http
