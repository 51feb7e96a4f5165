//! stub
use nodule::*;
fn main() {
    let rt = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let a: Vec<String> = std::env::args().collect();
    let c = rt.block_on(async {
        let host = Host::new().unwrap();
        let m = match Module::from_file(&host, &a[1]) {
            Ok(m) => m,
            Err(e) => {
                eprintln!("{e}");
                return 4;
            }
        };
        let s = host
            .isolate(&m)
            .role(IsolateRole::Main)
            .args(a[2..].to_vec())
            .stdout(stdio::Output::inherit_stdout())
            .stderr(stdio::Output::inherit_stderr())
            .spawn()
            .unwrap()
            .join()
            .await;
        i32::from(s.os_code())
    });
    std::process::exit(c)
}
