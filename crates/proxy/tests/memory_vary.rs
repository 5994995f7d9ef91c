//! The same as in `memory`, for responses that were selected by a request field: what many have in
//! common is there once. Alone in its process, so that nothing else grows it.

#[path = "memory/measure.rs"]
mod measure;

#[test]
fn what_selected_many_small_objects_costs_each_of_them_nothing() {
    let Some(each) = measure::fill(300_000, 300, Some("Accept-Encoding")) else {
        assert!(!std::path::Path::new("/proc/self/statm").exists());
        println!("NOT compared: this system does not tell what a process takes");
        return;
    };
    let measure::Measured { content, own, grown } = each;
    assert!((own - grown).abs() <= grown / 10.0, "{own} by its own figure, {grown} resident");
    assert!(own - content <= 350.0 && grown - content <= 350.0, "{own}, {grown} with {content}");
}
