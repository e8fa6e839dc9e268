package logstore

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
)

// A snapshot file is
//
//	"RVSNAP01" · CRC-32C over the rest of the head (4) · length of the Ref (4) · size (8) and CRC-64 (8) of the data · Ref · data
//
// in little endian. Size and sum are known at the end, when the head is written again; the Ref in protobuf goes without.
const (
	snapshotMagic   = "RVSNAP01"
	snapshotHead    = 16
	snapshotSuffix  = ".snapshot"
	snapshotTemp    = ".tmp"
	maxSnapshotHead = 2 * (maxConfState + maxPeers)
)

// NewSnapshotDir keeps snapshot files in dir, a directory for each group, and makes it where there is none. What a crash
// left unfinished is removed. Safe for concurrent use, by one process.
func NewSnapshotDir(dir string) (SnapshotFiles, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the snapshots: %w", err)
	}
	unfinished, err := filepath.Glob(filepath.Join(globEscape(dir), "*", "*"+snapshotTemp))
	if err != nil {
		return nil, fmt.Errorf("open the snapshots in %s: %w", dir, err)
	}
	for _, path := range unfinished {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("open the snapshots: %w", err)
		}
	}
	return &snapshotDir{dir: dir, sound: make(map[string]bool), damaged: make(map[string]string)}, nil
}

func globEscape(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

type snapshotDir struct {
	dir string

	mu      sync.Mutex
	sound   map[string]bool   // paths whose data this process wrote or checked
	damaged map[string]string // paths whose data this process found to be damaged, and how; the others are not known
}

// groupDir escapes all but lower-case letters, digits, '-' and '_', for file systems that fold case and for names like "..".
func (d *snapshotDir) groupDir(group string) string {
	var b strings.Builder
	for i := range len(group) {
		switch c := group[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	name := b.String()
	if len(name) > 200 {
		name = fmt.Sprintf("%s%%-%016x", name[:150], crc64.Checksum([]byte(group), snapshotTable))
	}
	return filepath.Join(d.dir, name)
}

func (d *snapshotDir) path(ref *SnapshotRef) string {
	return filepath.Join(d.groupDir(ref.Group), fmt.Sprintf("%016x-%016x%s", ref.Index, ref.Term, snapshotSuffix))
}

// Create begins a temporary file in the group's directory.
func (d *snapshotDir) Create(ref SnapshotRef) (SnapshotWriter, error) {
	if len(ref.Peers) > maxPeers || ref.Group == "" || len(ref.Group) > MaxGroupName {
		return nil, fmt.Errorf("create a snapshot of group %q: name or peers too long", ref.Group)
	}
	dir := d.groupDir(ref.Group)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create a snapshot of group %q: %w", ref.Group, err)
	}
	f, err := os.CreateTemp(dir, "*"+snapshotTemp)
	if err != nil {
		return nil, fmt.Errorf("create a snapshot of group %q: %w", ref.Group, err)
	}
	w := &dirSnapshotWriter{to: d, sum: snapshotSum{ref: ref}, file: f, buf: bufio.NewWriterSize(f, 256<<10)}
	w.head = int64(len(encodeSnapshotHead(&ref)))
	if _, err := w.buf.Write(make([]byte, w.head)); err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

// encodeSnapshotHead has the same length whatever size and checksum are.
func encodeSnapshotHead(ref *SnapshotRef) []byte {
	fixed := ref.toProto()
	fixed.Size, fixed.Checksum = 0, 0
	// A Ref of our own always marshals.
	body, _ := proto.MarshalOptions{Deterministic: true}.Marshal(fixed)
	head := make([]byte, snapshotHead, snapshotHead+16+len(body))
	copy(head, snapshotMagic)
	binary.LittleEndian.PutUint32(head[12:], uint32(len(body)))
	head = binary.LittleEndian.AppendUint64(head, ref.Size)
	head = binary.LittleEndian.AppendUint64(head, ref.Checksum)
	head = append(head, body...)
	binary.LittleEndian.PutUint32(head[8:], crc32.Checksum(head[12:], recordTable))
	return head
}

// readSnapshotHead reads what encodeSnapshotHead wrote, and leaves r at the data. length is the head's.
func readSnapshotHead(r io.Reader) (ref *SnapshotRef, length int64, err error) {
	fixed := make([]byte, snapshotHead+16)
	if _, err := io.ReadFull(r, fixed); err != nil {
		return nil, 0, fmt.Errorf("head: %w", err)
	}
	size := binary.LittleEndian.Uint32(fixed[12:])
	switch {
	case string(fixed[:6]) != snapshotMagic[:6]:
		return nil, 0, errors.New("it is no snapshot")
	case string(fixed[:8]) != snapshotMagic:
		return nil, 0, fmt.Errorf("%w: snapshot format %q, known is %q", ErrNewerFormat, fixed[6:8], snapshotMagic[6:])
	case size > maxSnapshotHead:
		return nil, 0, fmt.Errorf("head of %d bytes, at most %d are taken", size, maxSnapshotHead)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, 0, fmt.Errorf("head: %w", err)
	}
	sum := crc32.Update(crc32.Checksum(fixed[12:], recordTable), recordTable, body)
	if sum != binary.LittleEndian.Uint32(fixed[8:]) {
		return nil, 0, errors.New("the head fails its checksum")
	}
	var wire Ref
	if err := proto.Unmarshal(body, &wire); err != nil {
		return nil, 0, fmt.Errorf("head: %w", err)
	}
	if ref, err = refFromProto(&wire); err != nil {
		return nil, 0, err
	}
	ref.Size, ref.Checksum = binary.LittleEndian.Uint64(fixed[16:]), binary.LittleEndian.Uint64(fixed[24:])
	return ref, int64(len(fixed) + len(body)), nil
}

type dirSnapshotWriter struct {
	to   *snapshotDir
	sum  snapshotSum
	file *os.File
	buf  *bufio.Writer
	head int64
}

func (w *dirSnapshotWriter) Write(p []byte) (int, error) {
	if err := w.sum.add(p); err != nil {
		return 0, err
	}
	return w.buf.Write(p)
}

// Commit makes the file appear under its name with all of its content, or not at all. A snapshot without data has no file.
func (w *dirSnapshotWriter) Commit() (SnapshotRef, error) {
	ref, err := w.sum.finish()
	if err == nil && ref.Size > 0 {
		err = w.publish(&ref)
	}
	if err != nil || ref.Size == 0 {
		w.Abort()
	}
	if err != nil {
		return SnapshotRef{}, fmt.Errorf("write the snapshot of group %q at index %d: %w", w.sum.ref.Group, w.sum.ref.Index, err)
	}
	return ref, nil
}

func (w *dirSnapshotWriter) publish(ref *SnapshotRef) error {
	if err := w.buf.Flush(); err != nil {
		return err
	}
	if _, err := w.file.WriteAt(encodeSnapshotHead(ref), 0); err != nil {
		return err
	}
	if err := errors.Join(w.file.Sync(), w.file.Close()); err != nil {
		return err
	}
	path := w.to.path(ref)
	if err := os.Rename(w.file.Name(), path); err != nil {
		return err
	}
	if err := errors.Join(syncDir(filepath.Dir(path)), syncDir(w.to.dir)); err != nil {
		return err
	}
	w.to.judge(path, nil)
	return nil
}

// Abort removes what was not renamed.
func (w *dirSnapshotWriter) Abort() {
	_ = w.file.Close()
	_ = os.Remove(w.file.Name())
}

// Open checks head and data before it returns.
func (d *snapshotDir) Open(ref SnapshotRef) (io.ReadCloser, error) {
	path := d.path(&ref)
	found, f, err := openSnapshot(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: group %q, index %d, term %d", ErrNoSnapshot, ref.Group, ref.Index, ref.Term)
	}
	if err != nil {
		d.judge(path, err)
		return nil, &DamageError{Group: ref.Group, Index: ref.Index, Detail: fmt.Sprintf("snapshot %s: %v", path, err)}
	}
	if !found.sameData(&ref) {
		_ = f.Close()
		return nil, fmt.Errorf("%w: group %q, index %d, term %d with checksum %016x, there is one with %016x",
			ErrNoSnapshot, ref.Group, ref.Index, ref.Term, ref.Checksum, found.Checksum)
	}
	d.judge(path, nil)
	return f, nil
}

// openSnapshot returns a checked file, at its data.
func openSnapshot(path string) (*SnapshotRef, *snapshotFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	ref, head, err := checkSnapshot(file)
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	f := &snapshotFile{SectionReader: io.NewSectionReader(file, head, int64(ref.Size)), file: file}
	return ref, f, nil
}

func checkSnapshot(file *os.File) (*SnapshotRef, int64, error) {
	r := bufio.NewReaderSize(file, 256<<10)
	ref, head, err := readSnapshotHead(r)
	if err != nil {
		return nil, 0, err
	}
	sum := crc64.New(snapshotTable)
	n, err := io.Copy(sum, r)
	if err != nil {
		return nil, 0, err
	}
	if uint64(n) != ref.Size || sum.Sum64() != ref.Checksum {
		return nil, 0, fmt.Errorf("%w: %d bytes with checksum %016x instead of %d with %016x", ErrSnapshotChecksum, n, sum.Sum64(), ref.Size, ref.Checksum)
	}
	return ref, head, nil
}

// snapshotFile reads the data of a file.
type snapshotFile struct {
	*io.SectionReader
	file *os.File
}

func (f *snapshotFile) Close() error { return f.file.Close() }

// isDamage tells content that no writer committed from a newer format, and from what may be readable at the next try.
func isDamage(err error) bool {
	var unread *fs.PathError
	return err != nil && !errors.Is(err, ErrNewerFormat) && !errors.As(err, &unread)
}

// judge keeps what a check of all of a file found: nil, damage, or nothing that counts.
func (d *snapshotDir) judge(path string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sound, path)
	delete(d.damaged, path)
	switch {
	case err == nil:
		d.sound[path] = true
	case isDamage(err):
		d.damaged[path] = err.Error()
	}
}

func (d *snapshotDir) known(path string) (sound bool, damage string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sound[path], d.damaged[path]
}

func (d *snapshotDir) forget(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sound, path)
	delete(d.damaged, path)
}

// List skips what is damaged, and what is another group's whose name has the same escape.
func (d *snapshotDir) List(group string) ([]SnapshotRef, error) {
	refs, _, err := d.scan(group)
	return refs, err
}

// Damaged finds what List skips.
func (d *snapshotDir) Damaged(group string) ([]DamagedSnapshot, error) {
	_, damaged, err := d.scan(group)
	return damaged, err
}

func (d *snapshotDir) scan(group string) (sound []SnapshotRef, damaged []DamagedSnapshot, err error) {
	dir := d.groupDir(group)
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list the snapshots of group %q: %w", group, err)
	}
	for _, file := range files {
		path := filepath.Join(dir, file.Name())
		named, ok := d.named(group, path)
		if !ok {
			continue
		}
		ref, err := d.stat(path)
		switch {
		case err == nil && ref.key() == named.key():
			sound = append(sound, *ref)
		case err == nil && ref.Group == group:
			damaged = append(damaged, DamagedSnapshot{named, fmt.Sprintf("it holds the snapshot at index %d, term %d", ref.Index, ref.Term)})
		case isDamage(err):
			damaged = append(damaged, DamagedSnapshot{named, err.Error()})
		}
	}
	slices.SortFunc(sound, newer)
	slices.SortFunc(damaged, func(a, b DamagedSnapshot) int { return newer(a.Ref, b.Ref) })
	return sound, damaged, nil
}

// named is what a file should hold by its name.
func (d *snapshotDir) named(group, path string) (SnapshotRef, bool) {
	ref := SnapshotRef{Group: group}
	n, err := fmt.Sscanf(filepath.Base(path), "%016x-%016x"+snapshotSuffix, &ref.Index, &ref.Term)
	return ref, err == nil && n == 2 && d.path(&ref) == path
}

// stat reads the head of a file that is known to be sound, nothing of one that is known to be damaged, and checks all of any other.
func (d *snapshotDir) stat(path string) (*SnapshotRef, error) {
	sound, damage := d.known(path)
	if damage != "" {
		return nil, errors.New(damage)
	}
	if sound {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		ref, _, err := readSnapshotHead(file)
		if err != nil {
			d.judge(path, err)
		}
		return ref, err
	}
	ref, file, err := openSnapshot(path)
	d.judge(path, err)
	if err != nil {
		return nil, err
	}
	return ref, file.Close()
}

// Remove deletes the file of a snapshot.
func (d *snapshotDir) Remove(ref SnapshotRef) error {
	path := d.path(&ref)
	d.forget(path)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove a snapshot: %w", err)
	}
	return nil
}
