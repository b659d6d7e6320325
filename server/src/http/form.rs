//! Forms as `multipart/form-data` (RFC 7578).

use std::convert::Infallible;

use axum::http::header::{self, HeaderMap};
use bytes::Bytes;
use futures::stream;
use multer::Multipart;
use x0_openapi::ErrorCode;

use super::error::ApiError;

/// Fields of a form.
const MAX_PARTS: usize = 64;

/// One field of a form.
#[derive(Clone, Debug)]
pub struct Part {
    pub name: String,
    pub content: Bytes,
}

/// The boundary that the content type names.
pub fn boundary(headers: &HeaderMap) -> Result<String, ApiError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    multer::parse_boundary(media_type).map_err(|_| {
        let detail = "the body must be a form: send content-type: multipart/form-data; boundary=...";
        ApiError::new(ErrorCode::UnsupportedMediaType, detail)
    })
}

/// Divides a body into the fields of the form that it is.
pub async fn parts(body: Bytes, boundary: &str) -> Result<Vec<Part>, ApiError> {
    let invalid = |detail: String| ApiError::new(ErrorCode::InvalidMultipart, detail);
    let broken = |error: multer::Error| invalid(format!("the body is not such a form: {error}"));
    let mut form = Multipart::new(stream::iter([Ok::<_, Infallible>(body)]), boundary);
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let name = field.name().ok_or_else(|| invalid("a field of the form has no name".to_owned()))?.to_owned();
        parts.push(Part { name, content: field.bytes().await.map_err(broken)? });
        if parts.len() > MAX_PARTS {
            return Err(invalid(format!("the form has more than {MAX_PARTS} fields")));
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(body: &str) -> Result<Vec<(String, String)>, ErrorCode> {
        let parts = parts(Bytes::copy_from_slice(body.as_bytes()), "x").await.map_err(|error| error.code)?;
        Ok(parts.into_iter().map(|part| (part.name, String::from_utf8_lossy(&part.content).into_owned())).collect())
    }

    #[tokio::test]
    async fn a_form_has_names_and_contents() {
        let form = "--x\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; \
                    name=\"image[]\"; filename=\"../a.png\"\r\nContent-Type: image/png\r\n\r\nPNG\r\n--x--\r\n";
        let expected = [("n", "1"), ("image[]", "PNG")].map(|(name, content)| (name.to_owned(), content.to_owned()));
        assert_eq!(read(form).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn what_is_no_form_is_refused() {
        let nameless = "--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n";
        let half = "--x\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1";
        let many = "--x\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n".repeat(65) + "--x--\r\n";
        for body in ["", "{}", nameless, half, &many] {
            assert_eq!(read(body).await, Err(ErrorCode::InvalidMultipart), "{body}");
        }
    }
}
