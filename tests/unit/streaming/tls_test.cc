// The https server: its certificate, and what happens when the files of it change under the running server.
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>

#include "base/file.h"
#include "tests/unit/streaming/fixture.h"

namespace berth::streaming {
namespace {

namespace ssl = asio::ssl;
using testing::HasSubstr;

struct Identity {
  EVP_PKEY* key = nullptr;
  X509* certificate = nullptr;
  Identity() = default;
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;
  ~Identity() {
    EVP_PKEY_free(key);
    X509_free(certificate);
  }
};

// Signed by `issuer`, or by itself.
void Make(Identity& out, const std::string& name, const Identity* issuer = nullptr) {
  out.key = EVP_EC_gen("P-256");
  out.certificate = X509_new();
  static int serial = 0;
  ASN1_INTEGER_set(X509_get_serialNumber(out.certificate), ++serial);
  X509_set_version(out.certificate, 2);
  X509_gmtime_adj(X509_getm_notBefore(out.certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(out.certificate), 3600);
  X509_set_pubkey(out.certificate, out.key);
  const auto* const bytes = reinterpret_cast<const unsigned char*>(name.c_str());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(out.certificate), "CN", MBSTRING_ASC, bytes, -1, -1, 0);
  const Identity& by = issuer != nullptr ? *issuer : out;
  if (issuer == nullptr) {
    X509_EXTENSION* const authority = X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE");
    X509_add_ext(out.certificate, authority, -1);
    X509_EXTENSION_free(authority);
  }
  X509_set_issuer_name(out.certificate, X509_get_subject_name(by.certificate));
  X509_sign(out.certificate, by.key, EVP_sha256());
}

std::string Text(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  std::string out(data, static_cast<size_t>(size));
  BIO_free(memory);
  return out;
}
std::string CertificateText(const Identity& identity) {
  BIO* const memory = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(memory, identity.certificate);
  return Text(memory);
}
std::string KeyText(const Identity& identity) {
  BIO* const memory = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(memory, identity.key, nullptr, nullptr, 0, nullptr, nullptr);
  return Text(memory);
}

class TlsServer : public StreamingTest {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-tls-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    options_.certificate = folder_ / "cert.pem";
    options_.key = folder_ / "key.pem";
    options_.report = [this](const std::string& problem) {
      problems_.With([&](auto& all) { all.push_back(problem); });
    };
    Make(first_, "first");
    Install(first_);
  }
  void TearDown() override {
    StreamingTest::TearDown();
    std::filesystem::remove_all(folder_);
  }
  void Install(const Identity& identity) {
    ASSERT_TRUE(base::WriteFile(options_.certificate, CertificateText(identity)));
    ASSERT_TRUE(base::WriteFile(options_.key, KeyText(identity)));
  }
  struct Answer {
    boost::system::error_code error;
    std::string name;  // of the server's certificate
    std::string text;  // what came over HTTP for a token that nobody gave
  };
  Answer Ask(const Identity* client = nullptr, int version = TLS1_3_VERSION) {
    Answer out;
    ssl::context context(ssl::context::tls_client);
    SSL_CTX_set_max_proto_version(context.native_handle(), version);
    if (client != nullptr) {
      SSL_CTX_use_certificate(context.native_handle(), client->certificate);
      SSL_CTX_use_PrivateKey(context.native_handle(), client->key);
    }
    ssl::stream<tcp::socket> stream(loop_, context);
    const std::string url = Url(Sh("true"));
    EXPECT_THAT(url, testing::StartsWith("https://127.0.0.1:"));
    stream.next_layer().connect({asio::ip::make_address("127.0.0.1"), PortOf(url)});
    stream.handshake(ssl::stream_base::client, out.error);
    if (out.error) return out;
    X509* const certificate = SSL_get1_peer_certificate(stream.native_handle());
    char name[100] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
    X509_free(certificate);
    out.name = name;
    asio::write(stream, asio::buffer(std::string("POST /exec/unknown HTTP/1.1\r\nHost: x\r\n\r\n")), out.error);
    asio::read(stream, asio::dynamic_buffer(out.text), out.error);
    return out;
  }
  std::vector<std::string> Problems() {
    return problems_.With([](const auto& all) { return all; });
  }

  base::Path folder_;
  Identity first_;
  base::Guarded<std::vector<std::string>> problems_;
};

TEST_F(TlsServer, CertificateThatIsReplacedIsUsedByTheNextConnection) {
  StartServer();
  Answer answer = Ask();
  EXPECT_EQ(answer.name, "first");
  EXPECT_THAT(answer.text, HasSubstr("404"));
  Identity second;
  Make(second, "second");
  Install(second);
  EXPECT_EQ(Ask().name, "second");
  EXPECT_THAT(Problems(), testing::IsEmpty());
}

TEST_F(TlsServer, FilesThatAreNoUseAreToldOnceAndTheFormerOnesGoOn) {
  StartServer();
  ASSERT_TRUE(base::WriteFile(options_.key, "no key"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Ask().name, "first");
  ASSERT_EQ(Problems().size(), 1u);
  EXPECT_THAT(Problems().front(), HasSubstr("key.pem"));
  // Half of a replacement: the certificate is new, its key not there yet.
  Identity second;
  Make(second, "second");
  ASSERT_TRUE(base::WriteFile(options_.key, KeyText(first_)));
  ASSERT_TRUE(base::WriteFile(options_.certificate, CertificateText(second)));
  EXPECT_EQ(Ask().name, "first");
  ASSERT_TRUE(base::WriteFile(options_.key, KeyText(second)));
  EXPECT_EQ(Ask().name, "second");
}

TEST_F(TlsServer, ClientsNeedACertificateOfTheAuthorityWhichMayChangeToo) {
  Identity authority, other, client, stranger;
  Make(authority, "authority");
  Make(other, "other");
  Make(client, "client", &authority);
  Make(stranger, "stranger", &other);
  options_.client_ca = folder_ / "ca.pem";
  ASSERT_TRUE(base::WriteFile(options_.client_ca, CertificateText(authority)));
  StartServer();
  EXPECT_THAT(Ask(&client).text, HasSubstr("404"));
  EXPECT_EQ(Ask(&stranger).text, "");
  EXPECT_EQ(Ask().text, "");
  ASSERT_TRUE(base::WriteFile(options_.client_ca, CertificateText(other)));
  EXPECT_THAT(Ask(&stranger).text, HasSubstr("404"));
  EXPECT_EQ(Ask(&client).text, "");
}

TEST_F(TlsServer, OldVersionsAreRefused) {
  StartServer();
  EXPECT_THAT(Ask(nullptr, TLS1_2_VERSION).text, HasSubstr("404"));
  EXPECT_TRUE(Ask(nullptr, TLS1_1_VERSION).error);
}

TEST_F(TlsServer, KeyOfAnotherCertificateIsRefusedAtTheStart) {
  Identity second;
  Make(second, "second");
  ASSERT_TRUE(base::WriteFile(options_.key, KeyText(second)));
  options_.work = work_.get();
  const auto server = Server::Start(options_);
  ASSERT_FALSE(server);
  EXPECT_THAT(server.error().Text(), HasSubstr("key.pem"));
}

}  // namespace
}  // namespace berth::streaming
