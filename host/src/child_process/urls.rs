//! `file:` URLs where Node takes them for paths.

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

/// The path of a `file:` URL; other text is a path.
///
/// # Errors
/// `ERR_INVALID_URL_SCHEME` for a URL with another scheme.
pub fn path_of(text: &str) -> Result<String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(text.to_owned());
    };
    if scheme == "file" {
        return crate::worker_threads::file_url(&format!("//{rest}"));
    }
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    match is_scheme {
        true => Err(ErrorRecord::of(ErrorCode::InvalidUrlScheme).into()),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_urls_become_paths() {
        assert_eq!(path_of("file:///a%20b").unwrap(), "/a b");
        assert_eq!(path_of("/a").unwrap(), "/a");
        assert_eq!(path_of("a b://c").unwrap(), "a b://c");
        assert!(path_of("https://a/b").unwrap_err().is_code("ERR_INVALID_URL_SCHEME"));
    }
}
