//! The whole decision, against the reference evaluator.

use arbitrary::{Arbitrary, Unstructured};
use reference::{
    compiled::{admits, compile, compiling, decide},
    evaluator,
};

use crate::drawn::Dice;

/// What a peer may send as it likes, in place of what is drawn from small alphabets.
#[derive(Arbitrary, Debug)]
struct Sent<'a> {
    path: Option<&'a [u8]>,
    method: Option<&'a str>,
    host: Option<&'a str>,
    header: Option<&'a str>,
    sni: Option<&'a str>,
}

/// A document and requests are decided as the evaluator decides them, and so is the first request with what a peer made
/// up. Whoever is refused at the connection would be refused at every request.
pub fn holds(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(sent) = Sent::arbitrary(&mut input) else { return };
    let mut dice = Dice(&mut input);
    let Ok(document) = dice.document() else { return };
    let Ok(mut requests) = dice.requests(document["listener"] == "tcp") else {
        return;
    };
    let document = compiling(&document);
    let compiled = compile(&document);
    if let Some(mut request) = requests.first().cloned() {
        if let Some(path) = sent.path {
            request.path = Some(path.to_vec());
        }
        request.method = sent.method.map_or(request.method, str::to_owned);
        request.host = sent.host.map_or(request.host, str::to_owned);
        request.sni = sent.sni.map(str::to_owned).or(request.sni);
        request
            .headers
            .extend(sent.header.map(|value| ("h".to_owned(), value.to_owned())));
        requests.push(request);
    }
    for asked in &requests {
        let (found, expected) = (decide(&compiled, asked), evaluator::decide(&document, asked));
        assert_eq!(found, expected, "{asked:?}\n{document:#}");
        let admitted = admits(&compiled, asked);
        let would = expected.dry_run.is_some_and(|(effect, _)| effect == "allow");
        assert!(
            admitted || (expected.effect == "deny" && !would),
            "{asked:?}\n{document:#}"
        );
    }
}
