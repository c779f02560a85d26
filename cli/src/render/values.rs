//! What is filled into templates, and what it must be.

/// Longest name of Kubernetes, in bytes (RFC 1123 for subdomains).
const MAX_NAME: usize = 253;

/// A name of Kubernetes: a namespace, a resource, a listener.
///
/// # Errors
/// With what would be right.
pub fn name(text: &str) -> Result<String, String> {
    let is_letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let good = text.len() <= MAX_NAME
        && text.bytes().all(is_letter)
        && is_end(text.bytes().next())
        && is_end(text.bytes().last());
    if good {
        Ok(text.to_owned())
    } else {
        Err("expected a name of Kubernetes: a-z, 0-9, `-` and `.`".to_owned())
    }
}

/// A label: `app=orders`.
///
/// # Errors
/// With what would be right.
pub fn label(text: &str) -> Result<(String, String), String> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/');
    match text.split_once('=') {
        Some((key, value))
            if !key.is_empty() && !value.is_empty() && key.bytes().chain(value.bytes()).all(is_letter) =>
        {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("expected a label: KEY=VALUE".to_owned()),
    }
}

/// An image by its digest: `registry.example/team/svidgate@sha256:...`.
///
/// # Errors
/// With what would be right.
pub fn image(text: &str) -> Result<String, String> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/' | b':');
    let good = text.split_once("@sha256:").is_some_and(|(place, digest)| {
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_digest && place.contains('/') && place.bytes().all(is_letter) && !place.contains("//")
    });
    if good {
        Ok(text.to_owned())
    } else {
        Err("expected an image by its digest: REGISTRY/NAME@sha256:64 HEXADECIMAL DIGITS (a tag may come to mean another module)".to_owned())
    }
}

/// A path that begins at the root.
///
/// # Errors
/// With what would be right.
pub fn path(text: &str) -> Result<String, String> {
    let good = text.starts_with('/') && !text.chars().any(crate::visible::is_hidden);
    if good {
        Ok(text.to_owned())
    } else {
        Err("expected a path that begins with `/`".to_owned())
    }
}

/// Address and port: `0.0.0.0:8443`.
///
/// # Errors
/// With what would be right.
pub fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected an address and a port: 0.0.0.0:8443".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_gets_into_a_template() {
        assert!(name("shop").is_ok() && name("istio-system").is_ok());
        for bad in ["", "Shop", "a b", "a\nb", "-a", "a-", "a:b", "a{b", &"a".repeat(254)] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert!(label("app.kubernetes.io/name=orders").is_ok());
        for bad in ["app", "=x", "app=", "app=a b", "app=a\"", "app=a}"] {
            assert!(label(bad).is_err(), "{bad}");
        }
        let digest = "0".repeat(64);
        assert!(image(&format!("registry.example:5000/team/svidgate@sha256:{digest}")).is_ok());
        for bad in [
            "registry.example/team/svidgate:0.1.0".to_owned(),
            format!("svidgate@sha256:{digest}"),
            format!("https://x/y@sha256:{digest}"),
            format!("x/y@sha256:{}", "0".repeat(63)),
            format!("x/y\"@sha256:{digest}"),
        ] {
            assert!(image(&bad).is_err(), "{bad}");
        }
        assert!(path("/etc/x").is_ok() && path("etc").is_err() && path("/a\nb").is_err());
    }
}
