//! A DNS query over TCP, to ask the resolver of a cluster through the Kubernetes API (RFC 1035).

/// A name that every cluster with the usual domain has.
pub const NAME: &str = "kubernetes.default.svc.cluster.local";
/// The identifier of the query: there is only one on the connection.
const ID: [u8; 2] = [0x43, 0x4D];
/// Recursion is desired; one question.
const HEADER: [u8; 10] = [0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
/// An address (A) of the internet (IN).
const KIND: [u8; 4] = [0, 1, 0, 1];

/// Returns a query for the address of a name, with its length as TCP requires.
pub fn query(name: &str) -> Vec<u8> {
    let mut message = ID.to_vec();
    message.extend(HEADER);
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(KIND);
    let mut framed = u16::try_from(message.len()).unwrap_or(0).to_be_bytes().to_vec();
    framed.extend(message);
    framed
}

/// Returns whether a response, with its length, has an answer or says that the name does not exist: either way, the
/// resolver works.
pub fn is_answered(response: &[u8]) -> bool {
    const NO_ERROR: u8 = 0;
    const NAME_ERROR: u8 = 3;
    let Some(message) = response.get(2..).filter(|message| message.len() >= 12 && message.starts_with(&ID)) else {
        return false;
    };
    matches!(message[3] & 0x0F, NO_ERROR | NAME_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_framed_and_a_response_is_read() {
        let query = query("a.bc");
        assert_eq!(query[..2], [0, 22]);
        assert_eq!(query[14..], [1, b'a', 2, b'b', b'c', 0, 0, 1, 0, 1]);
        let mut response = query.clone();
        response[4] |= 0x80;
        assert!(is_answered(&response));
        response[5] = 2;
        assert!(!is_answered(&response), "SERVFAIL");
        assert!(!is_answered(&[]));
    }
}
