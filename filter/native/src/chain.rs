//! What is handed on of the certificates that a peer sends?

/// The filter state in which they stand, for this connection: DER, one behind the other, the leaf first.
pub(crate) const FILTER_STATE_KEY: &str = "svidgate.peer_chain";

/// One more than a gate takes, so that it can tell that there were too many. How many bytes they have the TLS stack bounds
/// (BoringSSL: 100 KiB a peer).
const MOST: usize = 10;

/// The text of the state.
pub(crate) fn handed_on<'c>(certificates: impl IntoIterator<Item = &'c [u8]>) -> Vec<u8> {
    certificates.into_iter().take(MOST).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_than_a_gate_takes_is_handed_on() {
        let leaf = 1;
        assert_eq!(MOST, leaf + svidgate_policy::certificate::bounds::MAX_INTERMEDIATES + 1);
    }

    #[test]
    fn leaf_stands_first_and_one_too_many_is_the_last() {
        let sent: Vec<[u8; 2]> = (0..20).map(|number| [number, 7]).collect();
        let found = handed_on(sent.iter().map(|certificate| certificate.as_slice()));
        let expected: Vec<u8> = (0..10).flat_map(|number| [number, 7]).collect();
        assert_eq!(found, expected);
        assert!(handed_on([]).is_empty());
    }
}
