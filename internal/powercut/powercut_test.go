package powercut

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// What is left of a file is what was written before its last fsync began, or by a
// descriptor that syncs, under the name that it had last.
func TestWhatIsLeft(t *testing.T) {
	const dir = "/d"
	x := Text
	open := func(fd int, name, flags string) string {
		return fmt.Sprintf(`7  1.5 openat(AT_FDCWD<%s>, "%s", %s, 0644) = %d<%s>`, x("/"), x(dir+"/"+name), flags, fd, x(dir+"/"+name))
	}
	write := func(fd int, name, data string) string {
		return fmt.Sprintf(`7  1.5 write(%d<%s>, "%s", %d) = %d`, fd, x(dir+"/"+name), x(data), len(data), len(data))
	}
	const create = "O_WRONLY|O_CREAT|O_CLOEXEC"
	a := x(dir + "/a")
	for title, c := range map[string]struct {
		trace []string
		want  map[string]string
		moved int
	}{
		"not synced":   {[]string{open(3, "a", create), write(3, "a", "one")}, map[string]string{"a": ""}, 0},
		"synced":       {[]string{open(3, "a", create), write(3, "a", "one"), `7  1.5 fsync(3<` + a + `>) = 0`, write(3, "a", "two")}, map[string]string{"a": "one"}, 0},
		"failed":       {[]string{open(3, "a", create), write(3, "a", "one"), `7  1.5 fsync(3<` + a + `>) = -1 EIO (Input/output error)`}, map[string]string{"a": ""}, 0},
		"syncs itself": {[]string{open(3, "a", create+"|O_SYNC"), write(3, "a", "one")}, map[string]string{"a": "one"}, 0},
		"written while it was synced": {[]string{
			open(3, "a", create), write(3, "a", "one"), `7  1.5 fsync(3<` + a + `> <unfinished ...>`, `8  1.5 write(3<` + a + `>, "` + x("two") + `", 3) = 3`, `7  1.6 <... fsync resumed>) = 0`,
		}, map[string]string{"a": "one"}, 0},
		"renamed": {[]string{
			open(3, "a", create+"|O_SYNC"), write(3, "a", "one"), fmt.Sprintf(`7  1.5 renameat(AT_FDCWD<%s>, "%s", AT_FDCWD<%s>, "%s") = 0`, x("/"), a, x("/"), x(dir+"/b.blk")),
		}, map[string]string{"b.blk": "one"}, 1},
		"removed":           {[]string{open(3, "a.blk", create), fmt.Sprintf(`7  1.5 unlinkat(AT_FDCWD<%s>, "%s", 0) = 0`, x("/"), x(dir+"/a.blk"))}, map[string]string{}, 1},
		"of another folder": {[]string{`7  1.5 openat(AT_FDCWD<` + x("/") + `>, "` + x("/e/a") + `", ` + create + `) = 3<` + x("/e/a") + `>`}, map[string]string{}, 0},
		"written at a place": {[]string{
			open(3, "a", create+"|O_SYNC"), write(3, "a", "one"), `7  1.5 pwrite64(3<` + a + `>, "` + x("N") + `", 1, 1) = 1`, `7  1.5 --- SIGURG {si_signo=SIGURG} ---`, `7  1.6 +++ exited with 0 +++`,
		}, map[string]string{"a": "oNe"}, 0},
	} {
		t.Run(title, func(t *testing.T) {
			d := New(dir)
			for _, line := range c.trace {
				if _, err := d.Step(line); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
			into := t.TempDir()
			if err := d.Lay(into, ""); err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(into)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				b, err := os.ReadFile(filepath.Join(into, e.Name()))
				if want, there := c.want[e.Name()]; err != nil || !there || string(b) != want {
					t.Errorf("%s holds %q, %v; want %q", e.Name(), b, err, want)
				}
			}
			if len(entries) != len(c.want) || d.Moved(".blk") != c.moved {
				t.Errorf("%d files, %d moved; want %d and %d", len(entries), d.Moved(".blk"), len(c.want), c.moved)
			}
		})
	}
}
