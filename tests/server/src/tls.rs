//! Certificates, good and expired.

use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use time::{Duration, OffsetDateTime};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use crate::TlsMode;

/// A server's end of TLS, and the authority that a client must trust.
pub(crate) struct Tls {
    pub acceptor: TlsAcceptor,
    pub authority_pem: String,
}

pub(crate) fn tls(mode: TlsMode) -> anyhow::Result<Tls> {
    let now = OffsetDateTime::now_utc();
    let authority_key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = now - Duration::days(30);
    params.not_after = now + Duration::days(30);
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::new(params, authority_key);

    let key = KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names)?;
    params.not_before = now - Duration::days(20);
    params.not_after = match mode {
        TlsMode::Good => now + Duration::days(20),
        TlsMode::Expired => now - Duration::days(1),
    };
    let certificate = params.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|e| anyhow::anyhow!("a key just made cannot be read: {e}"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .context("no protocol version")?
    .with_no_client_auth()
    .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok(Tls {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        authority_pem: authority.pem(),
    })
}
