//! Makes sure that the folder of the built UI exists, so that the server compiles without it (and says
//! on its page how to get one). Never runs npm: `make` builds the UI.

fn main() {
    let dist = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/dist");
    let _ = std::fs::create_dir_all(&dist);
    println!("cargo:rerun-if-changed=../../web/dist");
}
