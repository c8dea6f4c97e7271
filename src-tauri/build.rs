//! Hands the configuration, the icons and the built pages to Tauri; a change in the pages builds the shell again.

fn main() {
    println!("cargo:rerun-if-changed=../ui/build");
    tauri_build::build();
}
