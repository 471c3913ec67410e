//! Waiting for changes: every wait is on the event itself, with a limit.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::Watch;
use crate::directory::Directory;
use crate::fault::SourceFault;

/// Well above the second that is promised: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);

struct Bench {
    root: TempDir,
    watch: Watch,
}

type Texts = Result<Vec<String>, SourceFault>;

impl Bench {
    /// A tree below a parent that stays, watched, its first answer taken.
    async fn new(prepare: impl FnOnce(&TempDir)) -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("tree")).unwrap();
        prepare(&root);
        let watch = Directory::new(vec![root.path().join("tree")])
            .watch()
            .unwrap();
        let mut bench = Self { root, watch };
        bench.next().await.unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("tree").join(name)
    }

    async fn next(&mut self) -> Texts {
        let answer = timeout(LIMIT, self.watch.next())
            .await
            .expect("a change is told");
        answer.map(|set| set.files.into_iter().map(|file| file.text).collect())
    }

    /// Waits through intermediate answers for the one that must come in the end.
    async fn until(&mut self, wanted: &Texts) {
        while self.next().await != *wanted {}
    }
}

fn texts(texts: &[&str]) -> Texts {
    Ok(texts.iter().map(|text| (*text).to_string()).collect())
}

#[tokio::test]
async fn creating_changing_renaming_and_deleting_are_each_told() {
    let mut bench = Bench::new(|_| {}).await;
    fs::write(bench.path("a.yaml"), "one").unwrap();
    bench.until(&texts(&["one"])).await;
    fs::write(bench.path("a.yaml"), "two").unwrap();
    bench.until(&texts(&["two"])).await;
    fs::write(bench.path("b.yaml"), "b").unwrap();
    bench.until(&texts(&["two", "b"])).await;
    fs::rename(bench.path("a.yaml"), bench.path("c.yaml")).unwrap();
    bench.until(&texts(&["b", "two"])).await;
    fs::remove_file(bench.path("b.yaml")).unwrap();
    bench.until(&texts(&["two"])).await;
}

#[tokio::test]
async fn a_change_is_told_in_under_a_second_and_within_one_answer() {
    let mut bench = Bench::new(|_| {}).await;
    for name in ["a.yaml", "b.yaml", "c.yaml"] {
        fs::write(bench.path(name), name).unwrap();
    }
    let answer = timeout(Duration::from_secs(1), bench.watch.next()).await;
    let names = answer.expect("in under a second").unwrap().files.len();
    assert_eq!(names, 3);
}

#[tokio::test]
async fn a_new_directory_is_watched_and_so_is_one_that_replaced_another() {
    let mut bench = Bench::new(|_| {}).await;
    fs::create_dir_all(bench.path("deep/er")).unwrap();
    fs::write(bench.path("deep/er/a.yaml"), "one").unwrap();
    bench.until(&texts(&["one"])).await;
    fs::write(bench.path("deep/er/a.yaml"), "two").unwrap();
    bench.until(&texts(&["two"])).await;
    fs::remove_dir_all(bench.path("deep")).unwrap();
    fs::create_dir_all(bench.path("deep/er")).unwrap();
    fs::write(bench.path("deep/er/a.yaml"), "three").unwrap();
    bench.until(&texts(&["three"])).await;
    fs::write(bench.path("deep/er/a.yaml"), "four").unwrap();
    let answer = timeout(Duration::from_millis(1500), bench.until(&texts(&["four"]))).await;
    answer.expect("reported, not polled");
}

#[tokio::test]
async fn a_file_that_is_replaced_as_a_whole_is_told() {
    let mut bench = Bench::new(|root| {
        fs::write(root.path().join("tree/a.yaml"), "one").unwrap();
    })
    .await;
    fs::write(bench.path("a.yaml.new"), "two").unwrap();
    fs::rename(bench.path("a.yaml.new"), bench.path("a.yaml")).unwrap();
    assert_eq!(bench.next().await, texts(&["two"]));
}

#[tokio::test]
async fn a_config_map_swap_is_told_as_one_change() {
    let mut bench = Bench::new(|root| {
        let tree = root.path().join("tree");
        for (version, text) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(tree.join(version)).unwrap();
            for name in ["a.yaml", "b.yaml"] {
                fs::write(tree.join(version).join(name), text).unwrap();
            }
        }
        symlink("..1", tree.join("..data")).unwrap();
        symlink("..data/a.yaml", tree.join("a.yaml")).unwrap();
        symlink("..data/b.yaml", tree.join("b.yaml")).unwrap();
    })
    .await;
    symlink("..2", bench.path("..data_tmp")).unwrap();
    fs::rename(bench.path("..data_tmp"), bench.path("..data")).unwrap();
    assert_eq!(bench.next().await, texts(&["new", "new"]));
}

#[tokio::test]
async fn the_content_of_a_file_behind_a_link_elsewhere_is_told() {
    let mut bench = Bench::new(|root| {
        fs::write(root.path().join("real"), "one").unwrap();
        symlink("../real", root.path().join("tree/a.yaml")).unwrap();
    })
    .await;
    fs::write(bench.root.path().join("real"), "two").unwrap();
    bench.until(&texts(&["two"])).await;
}

#[tokio::test]
async fn a_tree_that_goes_and_comes_back_is_a_fault_and_then_an_answer() {
    let mut bench = Bench::new(|root| {
        fs::write(root.path().join("tree/a.yaml"), "one").unwrap();
    })
    .await;
    let (tree, aside) = (
        bench.root.path().join("tree"),
        bench.root.path().join("aside"),
    );
    fs::rename(&tree, &aside).unwrap();
    assert_eq!(
        bench.next().await,
        Err(SourceFault::Missing { path: tree.clone() })
    );
    fs::rename(&aside, &tree).unwrap();
    assert_eq!(bench.next().await, texts(&["one"]));
    fs::write(bench.path("a.yaml"), "two").unwrap();
    bench.until(&texts(&["two"])).await;
}

#[tokio::test]
async fn a_file_that_is_no_text_is_a_fault_until_it_is_repaired() {
    let mut bench = Bench::new(|root| {
        fs::write(root.path().join("tree/a.yaml"), "one").unwrap();
    })
    .await;
    fs::write(bench.path("a.yaml"), b"\xff").unwrap();
    let fault = SourceFault::NotText {
        path: bench.path("a.yaml"),
        line: 1,
    };
    bench.until(&Err(fault)).await;
    fs::write(bench.path("a.yaml"), "one").unwrap();
    bench.until(&texts(&["one"])).await;
}

#[tokio::test]
async fn touching_a_file_or_writing_it_anew_unchanged_is_not_told() {
    let mut bench = Bench::new(|root| {
        fs::write(root.path().join("tree/a.yaml"), "one").unwrap();
    })
    .await;
    fs::write(bench.path("a.yaml"), "one").unwrap();
    fs::write(bench.path("notes.txt"), "no manifest").unwrap();
    let quiet = timeout(Duration::from_millis(400), bench.watch.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    // The wait above was dropped half-way; nothing is lost by that.
    fs::write(bench.path("a.yaml"), "two").unwrap();
    bench.until(&texts(&["two"])).await;
}

#[tokio::test]
async fn a_single_file_is_watched_through_its_replacement() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("only");
    fs::write(&path, "one").unwrap();
    let mut watch = Directory::new(vec![path.clone()]).watch().unwrap();
    assert_eq!(watch.next().await.unwrap().files[0].text, "one");
    fs::write(root.path().join("next"), "two").unwrap();
    fs::rename(root.path().join("next"), &path).unwrap();
    let answer = timeout(LIMIT, watch.next())
        .await
        .expect("a change is told");
    assert_eq!(answer.unwrap().files[0].text, "two");
}
