/* A library that makes files below SHARE_ROOT behave as on network shares and other file systems (LD_PRELOAD). See
 * tests/test_shares.py.
 *
 * SHARE_MODE contains any of these words:
 *   readonly_sync   fsync on a read-only descriptor fails with EACCES (CIFS)
 *   badf_sync       fsync on a read-only descriptor fails with EBADF
 *   no_sync         fsync fails with EINVAL (some FUSE file systems)
 *   mandatory       a write to a file that is locked with flock fails with EACCES (SMB)
 *   no_lock         flock fails with ENOTSUP
 *   no_links        link fails with EPERM
 *   no_rights       chmod, fchmod, fchmodat and utimensat fail with EPERM
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int mode(const char *word) {
    const char *modes = getenv("SHARE_MODE");
    return modes != NULL && strstr(modes, word) != NULL;
}

static int path_inside(const char *path) {
    const char *root = getenv("SHARE_ROOT");
    return root != NULL && path != NULL && strncmp(path, root, strlen(root)) == 0;
}

static int inside(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return path_inside(path);
}

/* Whether a file is locked. On SMB the descriptor that holds the lock can still write. This test is stricter: no
 * descriptor can write. */
static int locked(int fd) {
    static int (*real)(int, int);
    char path[PATH_MAX];
    struct stat status;
    if (!mode("mandatory") || !inside(fd, path) || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return 0;
    if (real == NULL) real = dlsym(RTLD_NEXT, "flock");
    int kept = errno, fresh = open(path, O_RDONLY | O_CLOEXEC), found = 0;
    if (fresh >= 0) {
        found = real(fresh, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        close(fresh);
    }
    errno = kept;
    return found;
}

int fsync(int fd) {
    static int (*real)(int);
    char path[PATH_MAX];
    if (real == NULL) real = dlsym(RTLD_NEXT, "fsync");
    if (inside(fd, path)) {
        int reading = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
        if (mode("no_sync")) return errno = EINVAL, -1;
        if (reading && mode("readonly_sync")) return errno = EACCES, -1;
        if (reading && mode("badf_sync")) return errno = EBADF, -1;
    }
    return real(fd);
}

int fdatasync(int fd) { return fsync(fd); }

int flock(int fd, int operation) {
    static int (*real)(int, int);
    char path[PATH_MAX];
    if (real == NULL) real = dlsym(RTLD_NEXT, "flock");
    if (mode("no_lock") && inside(fd, path)) return errno = ENOTSUP, -1;
    return real(fd, operation);
}

ssize_t write(int fd, const void *buffer, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (real == NULL) real = dlsym(RTLD_NEXT, "write");
    if (locked(fd)) return errno = EACCES, -1;
    return real(fd, buffer, count);
}

ssize_t pwrite64(int fd, const void *buffer, size_t count, off64_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (real == NULL) real = dlsym(RTLD_NEXT, "pwrite64");
    if (locked(fd)) return errno = EACCES, -1;
    return real(fd, buffer, count, offset);
}

int link(const char *from, const char *to) {
    static int (*real)(const char *, const char *);
    if (real == NULL) real = dlsym(RTLD_NEXT, "link");
    if (mode("no_links") && path_inside(to)) return errno = EPERM, -1;
    return real(from, to);
}

int linkat(int at, const char *from, int to_at, const char *to, int flags) {
    static int (*real)(int, const char *, int, const char *, int);
    if (real == NULL) real = dlsym(RTLD_NEXT, "linkat");
    if (mode("no_links") && path_inside(to)) return errno = EPERM, -1;
    return real(at, from, to_at, to, flags);
}

int chmod(const char *path, mode_t rights) {
    static int (*real)(const char *, mode_t);
    if (real == NULL) real = dlsym(RTLD_NEXT, "chmod");
    if (mode("no_rights") && path_inside(path)) return errno = EPERM, -1;
    return real(path, rights);
}

int fchmodat(int at, const char *path, mode_t rights, int flags) {
    static int (*real)(int, const char *, mode_t, int);
    if (real == NULL) real = dlsym(RTLD_NEXT, "fchmodat");
    if (mode("no_rights") && path_inside(path)) return errno = EPERM, -1;
    return real(at, path, rights, flags);
}

int fchmod(int fd, mode_t rights) {
    static int (*real)(int, mode_t);
    char path[PATH_MAX];
    if (real == NULL) real = dlsym(RTLD_NEXT, "fchmod");
    if (mode("no_rights") && inside(fd, path)) return errno = EPERM, -1;
    return real(fd, rights);
}

int utimensat(int at, const char *path, const struct timespec times[2], int flags) {
    static int (*real)(int, const char *, const struct timespec *, int);
    if (real == NULL) real = dlsym(RTLD_NEXT, "utimensat");
    if (mode("no_rights") && path_inside(path)) return errno = EPERM, -1;
    return real(at, path, times, flags);
}
