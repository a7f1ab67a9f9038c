// SPDX-License-Identifier: BSD-2-Clause
/*
 * grayfs: a disk that answers, but late.
 *
 * A FUSE file system with one file, `disk`, kept in a sparse file elsewhere. A loop device over it is a disk whose
 * reads, writes and flushes take as long as a control file says, changed while it runs. The delay passes as device
 * time: the block layer, the file system and the broker above see a slow disk and nothing else.
 *
 *     grayfs --size BYTES --backing FILE --control FILE MOUNTPOINT      (stays in the foreground)
 *
 * The control file is one line, any of `flush=200ms write=5ms read=0`. `graydisk` beside this file does the rest.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <getopt.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DISK_NAME "disk"
#define DISK_INO 2
#define FOREVER 1e9 /* seconds that the kernel may keep names and attributes: they never change */
#define NS_PER_S 1000000000LL
#define RECHECK_NS (50 * 1000000LL) /* a delay that is taken back ends the waits under way at most this much later */

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

enum op { OP_READ, OP_WRITE, OP_FLUSH, OP_COUNT };
static const char *const op_name[OP_COUNT] = {"read", "write", "flush"};

static struct {
    const char *control;
    int fd; /* the sparse file */
    off_t size;
    struct timespec born;
    _Atomic int64_t delay_ns[OP_COUNT]; /* the last that the control file said */
} disk = {.fd = -1};

/* ---- the control file ---- */

/* "200ms" → nanoseconds; a bare number is only accepted as 0. False when it is not a time. */
static bool parse_delay(const char *text, int64_t *ns)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    char *end;
    double value = strtod(text, &end);

    if (end == text || !(value >= 0) || value > 1e12)
        return false;
    if (*end == '\0' && value == 0) {
        *ns = 0;
        return true;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].unit) == 0 && value * units[i].ns <= 3600e9) {
            *ns = (int64_t)(value * units[i].ns);
            return true;
        }
    return false;
}

/* Read again at every request (a few µs): the next request after a change obeys it, without signals or watches.
 * What is missing or unreadable leaves the last value. */
static void read_control(void)
{
    char text[256], *save = NULL;
    int fd = open(disk.control, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    if (len < 0)
        return;
    text[len] = '\0';
    for (char *word = strtok_r(text, " \t\n", &save); word; word = strtok_r(NULL, " \t\n", &save)) {
        char *value = strchr(word, '=');
        int64_t ns;

        if (!value || !parse_delay(value + 1, &ns))
            continue;
        *value = '\0';
        for (int op = 0; op < OP_COUNT; op++)
            if (strcmp(word, op_name[op]) == 0)
                atomic_store(&disk.delay_ns[op], ns);
    }
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Waits until `begin` plus the delay, and follows the delay when it changes meanwhile, so that healing the disk also
 * frees the requests that already wait. */
static void wait_for(enum op op, int64_t begin)
{
    for (;;) {
        read_control();
        int64_t until = begin + atomic_load(&disk.delay_ns[op]), now = now_ns();

        if (now >= until)
            return;
        if (until - now > RECHECK_NS)
            until = now + RECHECK_NS;
        struct timespec at = {.tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    }
}

/* ---- the one file ---- */

static bool stat_of(fuse_ino_t ino, struct stat *st)
{
    memset(st, 0, sizeof *st);
    st->st_ino = ino;
    st->st_uid = getuid();
    st->st_gid = getgid();
    st->st_atim = st->st_mtim = st->st_ctim = disk.born;
    if (ino == FUSE_ROOT_ID) {
        st->st_mode = S_IFDIR | 0700;
        st->st_nlink = 2;
        return true;
    }
    st->st_mode = S_IFREG | 0600;
    st->st_nlink = 1;
    st->st_size = disk.size;
    st->st_blksize = 4096;
    st->st_blocks = disk.size / 512;
    return ino == DISK_INO;
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    /* One request of the loop device should be one request here, or a large write would be delayed piece by piece. */
    conn->max_write = conn->max_readahead = 1 << 20;
    conn->max_background = 256;
    conn->want |= conn->capable & FUSE_CAP_ASYNC_DIO;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry = {.ino = DISK_INO, .attr_timeout = FOREVER, .entry_timeout = FOREVER};

    if (parent != FUSE_ROOT_ID || strcmp(name, DISK_NAME) != 0) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    stat_of(DISK_INO, &entry.attr);
    fuse_reply_entry(req, &entry);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file)
{
    struct stat st;

    (void)file;
    if (stat_of(ino, &st))
        fuse_reply_attr(req, &st, FOREVER);
    else
        fuse_reply_err(req, ENOENT);
}

static void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *file)
{
    static const struct {
        const char *name;
        fuse_ino_t ino;
    } entries[] = {{".", FUSE_ROOT_ID}, {"..", FUSE_ROOT_ID}, {DISK_NAME, DISK_INO}};
    char buf[512];
    size_t used = 0;

    (void)ino;
    (void)file;
    if (size > sizeof buf)
        size = sizeof buf;
    for (size_t i = (size_t)offset; i < sizeof entries / sizeof entries[0]; i++) {
        struct stat st;

        stat_of(entries[i].ino, &st);
        size_t len = fuse_add_direntry(req, buf + used, size - used, entries[i].name, &st, (off_t)i + 1);
        if (len > size - used)
            break;
        used += len;
    }
    fuse_reply_buf(req, buf, used);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *file)
{
    if (ino != DISK_INO) {
        fuse_reply_err(req, EISDIR);
        return;
    }
    /* No page cache between the loop device and here: every request of the device is one of this disk. */
    file->direct_io = 1;
    fuse_reply_open(req, file);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *file)
{
    struct fuse_bufvec buf = FUSE_BUFVEC_INIT(size);

    (void)ino;
    (void)file;
    wait_for(OP_READ, now_ns());
    if (offset >= disk.size)
        buf.buf[0].size = 0;
    else if ((off_t)size > disk.size - offset)
        buf.buf[0].size = (size_t)(disk.size - offset);
    buf.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    buf.buf[0].fd = disk.fd;
    buf.buf[0].pos = offset;
    fuse_reply_data(req, &buf, 0);
}

static void on_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *file)
{
    int64_t begin = now_ns();
    size_t done = 0;

    (void)ino;
    (void)file;
    if (offset < 0 || offset > disk.size || (off_t)size > disk.size - offset) {
        fuse_reply_err(req, ENOSPC);
        return;
    }
    while (done < size) {
        ssize_t n = pwrite(disk.fd, data + done, size - done, offset + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fuse_reply_err(req, errno);
            return;
        }
        done += (size_t)n;
    }
    wait_for(OP_WRITE, begin);
    fuse_reply_write(req, size);
}

/* The loop device turns a flush of its own into an fsync of this file. The backing file is not synced: this disk need
 * not survive a power cut, and the neighbours of the backing file's disk would blur the delay. */
static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *file)
{
    (void)ino;
    (void)datasync;
    (void)file;
    wait_for(OP_FLUSH, now_ns());
    fuse_reply_err(req, 0);
}

/* Discards and zeroing keep the backing file sparse; they count as writes. */
static void on_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *file)
{
    int64_t begin = now_ns();
    int err = 0;

    (void)ino;
    (void)file;
    if (!(mode & FALLOC_FL_KEEP_SIZE) || offset < 0 || length < 0 || length > disk.size - offset)
        err = EOPNOTSUPP;
    else if (fallocate(disk.fd, mode, offset, length) != 0)
        err = errno;
    else
        wait_for(OP_WRITE, begin);
    fuse_reply_err(req, err);
}

static const struct fuse_lowlevel_ops ops = {
    .init = on_init,
    .lookup = on_lookup,
    .getattr = on_getattr,
    .readdir = on_readdir,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .fsync = on_fsync,
    .fallocate = on_fallocate,
};

/* ---- start ---- */

static int usage(void)
{
    fprintf(stderr, "usage: grayfs --size BYTES --backing FILE --control FILE MOUNTPOINT\n");
    return 2;
}

static int failed(const char *what, const char *name)
{
    fprintf(stderr, "grayfs: cannot %s %s: %s\n", what, name, strerror(errno));
    return 4;
}

static int serve(const char *mountpoint)
{
    char *argv[] = {"grayfs", "-o", "fsname=grayfs,subtype=grayfs", NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    struct fuse_session *session = fuse_session_new(&args, &ops, sizeof ops, NULL);
    int rc = 4;

    if (!session)
        return 4;
    if (fuse_set_signal_handlers(session) == 0) {
        if (fuse_session_mount(session, mountpoint) == 0) {
            rc = fuse_session_loop_mt(session, 0) == 0 ? 0 : 1;
            fuse_session_unmount(session);
        }
        fuse_remove_signal_handlers(session);
    }
    fuse_session_destroy(session);
    fuse_opt_free_args(&args);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"size", required_argument, NULL, 's'},
                                            {"backing", required_argument, NULL, 'b'},
                                            {"control", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    const char *backing = NULL;
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (opt) {
        case 's': disk.size = strtoll(optarg, NULL, 10); break;
        case 'b': backing = optarg; break;
        case 'c': disk.control = optarg; break;
        default: return usage();
        }
    if (disk.size <= 0 || !backing || !disk.control || optind + 1 != argc)
        return usage();

    disk.fd = open(backing, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (disk.fd < 0)
        return failed("open", backing);
    if (ftruncate(disk.fd, disk.size) != 0)
        return failed("size", backing);
    clock_gettime(CLOCK_REALTIME, &disk.born);
    read_control();

    /* When memory is short the kernel may wait for this disk; this process must not then wait for the kernel. */
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    /* The default timer slack of 50 µs would be added to every delay. */
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    return serve(argv[optind]);
}
