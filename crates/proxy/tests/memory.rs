//! What the memory tier says it takes is what the process takes. Alone in its process, so that
//! nothing else grows it.

#[path = "memory/measure.rs"]
mod measure;

#[test]
fn a_million_small_objects_take_what_the_store_says_and_little_beside_head_and_body() {
    let Some(each) = measure::fill(1_000_000, 300, None) else {
        assert!(!std::path::Path::new("/proc/self/statm").exists());
        println!("NOT compared: this system does not tell what a process takes");
        return;
    };
    let measure::Measured { content, own, grown } = each;
    assert!((own - grown).abs() <= grown / 10.0, "{own} by its own figure, {grown} resident");
    assert!(own - content <= 350.0 && grown - content <= 350.0, "{own}, {grown} with {content}");
}
