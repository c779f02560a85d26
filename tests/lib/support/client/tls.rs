//! TLS clients with any identity, or with none.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme, SupportedProtocolVersion, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{Connection, Refusal, patient, tcp};
use crate::ca::Identity;

/// How a client makes its handshake.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Application protocols to offer. Empty: none, and the server takes HTTP/1.1 or plain bytes.
    pub alpn: Vec<String>,
    /// Protocol versions to offer.
    pub versions: TlsVersions,
    /// The name to ask for (SNI).
    pub server_name: String,
    /// The certificates to send, DER, instead of the chain of the identity.
    pub chain: Option<Vec<Vec<u8>>>,
    /// Where sessions to resume are kept. `None`: every handshake is a full one.
    pub sessions: Option<Sessions>,
}

/// The versions of TLS that a client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TlsVersions {
    Any,
    Only12,
    Only13,
}

/// A store of sessions to resume. Rustls resumes only with the very [`Client`] that made the session.
#[derive(Clone, Debug)]
pub struct Sessions(Arc<ClientSessionMemoryCache>);

impl Default for Sessions {
    fn default() -> Self {
        Sessions(Arc::new(ClientSessionMemoryCache::new(32)))
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            alpn: Vec::new(),
            versions: TlsVersions::Any,
            server_name: "localhost".to_owned(),
            chain: None,
            sessions: None,
        }
    }
}

impl ClientOptions {
    /// Offers HTTP/2 and nothing else.
    pub fn http2() -> Self {
        ClientOptions {
            alpn: vec!["h2".to_owned()],
            ..ClientOptions::default()
        }
    }
}

/// A TLS client: an identity and options, for any number of connections.
#[derive(Clone)]
pub struct Client {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl Client {
    /// A client with the usual options.
    pub fn new(identity: Option<&Identity>) -> Self {
        Client::with(identity, ClientOptions::default())
    }

    /// A client.
    ///
    /// # Panics
    /// When the key cannot be used for TLS here (P-521), or the server name is not one.
    pub fn with(identity: Option<&Identity>, options: ClientOptions) -> Self {
        let provider = Arc::new(ring::default_provider());
        let presented = Presented(identity.map(|identity| Arc::new(certified_key(identity, &options, &provider))));
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&options.versions.supported())
            .expect("ring has cipher suites for every version")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider.signature_verification_algorithms)))
            .with_client_cert_resolver(Arc::new(presented));
        config.alpn_protocols = options.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        config.resumption = match options.sessions {
            Some(Sessions(store)) => Resumption::store(store),
            None => Resumption::disabled(),
        };
        Client {
            connector: TlsConnector::from(Arc::new(config)),
            server_name: ServerName::try_from(options.server_name).expect("a server name"),
        }
    }

    /// Connects and shakes hands. With TLS 1.3 the server may still refuse the client's certificate after this.
    ///
    /// # Errors
    /// When nobody listens or the handshake fails.
    pub async fn connect(&self, addr: SocketAddr) -> Result<Connection, Refusal> {
        self.handshake(tcp(addr).await?).await
    }

    /// Shakes hands on a stream that is there already.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn handshake<S>(&self, stream: S) -> Result<Connection, Refusal>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug + 'static,
    {
        let stream = patient(self.connector.connect(self.server_name.clone(), stream))
            .await?
            .map_err(|error| Refusal::Handshake(error.to_string()))?;
        let (_, session) = stream.get_ref();
        Ok(Connection {
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            stream: Box::new(stream),
        })
    }
}

impl TlsVersions {
    fn supported(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            TlsVersions::Any => rustls::ALL_VERSIONS.to_vec(),
            TlsVersions::Only12 => vec![&version::TLS12],
            TlsVersions::Only13 => vec![&version::TLS13],
        }
    }
}

fn certified_key(identity: &Identity, options: &ClientOptions, provider: &CryptoProvider) -> CertifiedKey {
    let chain = options.chain.clone().unwrap_or_else(|| identity.chain());
    let key = provider
        .key_provider
        .load_private_key(PrivatePkcs8KeyDer::from(identity.key.pkcs8()).into())
        .unwrap_or_else(|error| panic!("no TLS with a {:?}: {error}", identity.key));
    // Not `from_der`: that reads the leaf, and a test may present one that cannot be read.
    CertifiedKey::new(chain.into_iter().map(CertificateDer::from).collect(), key)
}

/// Presents the same certificate whatever the server asks for.
#[derive(Debug)]
struct Presented(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Presented {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// Accepts every server that holds the key of the certificate it shows.
#[derive(Debug)]
struct AnyServer(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
