//! The images as others see them: read by `skopeo`, kept by a real registry, verified by the sigstore project's client
//! and by `skopeo`'s own policy engine, and loaded by a real Envoy.

mod loaded;
mod made;
mod pushed;
mod signed;
mod stage;
