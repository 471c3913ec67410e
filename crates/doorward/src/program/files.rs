//! `file://` upstreams: files of a directory.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};

/// A larger file is none that this is for.
const LARGEST: u64 = 64 << 20;

/// Answers with the file that `below` names in `directory`.
pub(crate) async fn answer(
    directory: Arc<str>,
    below: Box<str>,
    request: Request<Bytes>,
) -> Response<Bytes> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = status(StatusCode::METHOD_NOT_ALLOWED);
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(ALLOW, allowed);
        return answer;
    }
    let Some(inside) = inside(&below) else {
        return status(StatusCode::NOT_FOUND);
    };
    let wanted = Path::new(&*directory).join(inside);
    let is_slashed = below.is_empty() || below.ends_with('/');
    let read = tokio::task::spawn_blocking(move || read(&directory, wanted, is_slashed)).await;
    match read {
        Ok(Found::File(kind, bytes)) => {
            let mut answer = Response::new(bytes);
            let headers = answer.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            answer
        }
        Ok(Found::Directory) => {
            let mut answer = status(StatusCode::MOVED_PERMANENTLY);
            let path = format!("{}/", request.uri().path());
            if let Ok(location) = HeaderValue::try_from(path) {
                answer.headers_mut().insert(LOCATION, location);
            }
            answer
        }
        Ok(Found::Nothing) => status(StatusCode::NOT_FOUND),
        Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

enum Found {
    File(&'static str, Bytes),
    /// One that was asked for without a slash at the end.
    Directory,
    Nothing,
}

/// A path of plain names only.
fn inside(below: &str) -> Option<PathBuf> {
    let decoded = percent_encoding::percent_decode_str(below)
        .decode_utf8()
        .ok()?;
    if decoded.contains(['\0', '\\']) {
        return None;
    }
    let path = Path::new(decoded.trim_start_matches('/'));
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    path.components().all(is_plain).then(|| path.to_owned())
}

/// Symbolic links lead nowhere outside the directory.
fn read(directory: &str, wanted: PathBuf, is_slashed: bool) -> Found {
    let (Ok(root), Ok(mut path)) = (Path::new(directory).canonicalize(), wanted.canonicalize())
    else {
        return Found::Nothing;
    };
    if path.is_dir() {
        if !is_slashed {
            return Found::Directory;
        }
        path.push("index.html");
    }
    let Ok(path) = path.canonicalize() else {
        return Found::Nothing;
    };
    let is_small = path
        .metadata()
        .is_ok_and(|found| found.is_file() && found.len() <= LARGEST);
    if !path.starts_with(&root) || !is_small {
        return Found::Nothing;
    }
    match std::fs::read(&path) {
        Ok(bytes) => Found::File(kind(&path), bytes.into()),
        Err(_) => Found::Nothing,
    }
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|end| end.to_str()) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("ico") => "image/x-icon",
        Some("txt") => "text/plain; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_files_of_the_directory_are_read() {
        let home = tempfile::tempdir().unwrap();
        let public = home.path().join("public");
        std::fs::create_dir_all(public.join("a")).unwrap();
        std::fs::write(public.join("a/index.html"), "index").unwrap();
        std::fs::write(public.join("b c.txt"), "b").unwrap();
        std::fs::write(home.path().join("secret"), "no").unwrap();
        std::os::unix::fs::symlink(home.path().join("secret"), public.join("link")).unwrap();
        let directory: Arc<str> = public.to_str().unwrap().into();
        for (below, status, body) in [
            ("a/", 200, "index"),
            ("a", 301, ""),
            ("b%20c.txt", 200, "b"),
            ("c", 404, ""),
            ("link", 404, ""),
            ("../secret", 404, ""),
            ("%2e%2e/secret", 404, ""),
            ("a/..%2f..%2fsecret", 404, ""),
            ("/etc/passwd", 404, ""),
            ("b%00", 404, ""),
        ] {
            let request = Request::builder().uri("/x/a").body(Bytes::new()).unwrap();
            let answer = super::answer(Arc::clone(&directory), below.into(), request).await;
            let found = (answer.status().as_u16(), &answer.body()[..]);
            assert_eq!(found, (status, body.as_bytes()), "{below}");
        }
    }
}
