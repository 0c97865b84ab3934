/* Journals what a process does to one folder's disk, and what it says to the network, in order.

   Preloaded (LD_PRELOAD). RECORDER_ROOT is the folder, RECORDER_JOURNAL the file. A write is noted after it
   was made, a flush when it begins and when it has ended, bytes for the network before they leave: so the
   journal never calls anything safer or later than it was. RECORDER_CHILDREN=1 records child processes too. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

extern char **environ;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

struct __attribute__((packed)) head {
    uint32_t length; /* of all that follows this number */
    char op;
    int32_t pid;
    uint64_t inode;
    uint64_t offset;
    uint32_t first;  /* length of the path that comes first; the rest is data */
};

static int journal = -1;
static char journal_path[PATH_MAX];
static char root[PATH_MAX];
static size_t root_length;
static int children; /* whether this is one of them, and what it prints is none of our business */

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("RECORDER_ROOT"), *path = getenv("RECORDER_JOURNAL");
    if (!folder || !path) return;
    snprintf(root, sizeof root, "%s", folder);
    snprintf(journal_path, sizeof journal_path, "%s", path);
    root_length = strlen(root);
    int opened = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    journal = fcntl(opened, F_DUPFD_CLOEXEC, 500);
    syscall(SYS_close, opened);
    children = getenv("RECORDER_CHILDREN") != NULL;
    if (!children) {
        unsetenv("LD_PRELOAD");
        unsetenv("RECORDER_ROOT");
        unsetenv("RECORDER_JOURNAL");
    }
}

/* Names are changed and noted one at a time: another thread that sees a new folder finds it noted as well. */
static pthread_mutex_t names = PTHREAD_MUTEX_INITIALIZER;

#define ORDERED(change) \
    ({ \
        pthread_mutex_lock(&names); \
        int changed = (change); \
        pthread_mutex_unlock(&names); \
        changed; \
    })

static void note_to(
    int journal, char op, uint64_t inode, uint64_t offset, const char *path, const void *data, size_t size
) {
    if (journal < 0) return;
    int error = errno;
    size_t first = path ? strlen(path) : 0;
    struct head head = {sizeof head - 4 + first + size, op, getpid(), inode, offset, first};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, first}, {(void *)data, size}};
    if (syscall(SYS_writev, journal, parts, 3) != (ssize_t)(sizeof head + first + size)) abort();
    errno = error;
}

static void note(char op, uint64_t inode, uint64_t offset, const char *path, const void *data, size_t size) {
    note_to(journal, op, inode, offset, path, data, size);
}

static int ours(const char *path) {
    return journal >= 0 && strncmp(path, root, root_length) == 0
        && (path[root_length] == '/' || !path[root_length]);
}

/* The path of an open file of ours, and its inode. */
static int tracked(int fd, char *path, uint64_t *inode) {
    if (journal < 0) return 0;
    int error = errno;
    char link[40];
    struct stat facts;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlink, link, path, PATH_MAX - 1);
    int found = 0;
    if (length > 0) {
        path[length] = 0;
        if (ours(path) && fstat(fd, &facts) == 0) {
            *inode = facts.st_ino;
            found = S_ISDIR(facts.st_mode) ? 2 : S_ISREG(facts.st_mode) ? 1 : 0;
        }
    }
    errno = error;
    return found;
}

/* A path given to a system call, made absolute. */
static const char *absolute(int folder, const char *path, char *out) {
    if (path[0] == '/') return path;
    char base[PATH_MAX], link[40];
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return path;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = syscall(SYS_readlink, link, base, sizeof base - 1);
        if (length < 0) return path;
        base[length] = 0;
    }
    while (strncmp(path, "./", 2) == 0) path += 2;
    snprintf(out, PATH_MAX, "%.2000s/%.2000s", base, path);
    return out;
}

/* -- files ------------------------------------------------------------------------------------ */

static int opened(int fd, int flags) {
    char path[PATH_MAX];
    uint64_t inode;
    if (fd >= 0 && flags & (O_CREAT | O_TRUNC) && tracked(fd, path, &inode) == 1)
        note(flags & O_TRUNC ? 'Z' : 'O', inode, 0, path, NULL, 0);
    return fd;
}

static int open_at(int folder, const char *path, int flags, int mode) {
    if (!(flags & (O_CREAT | O_TRUNC))) return syscall(SYS_openat, folder, path, flags, mode);
    return ORDERED(opened(syscall(SYS_openat, folder, path, flags, mode), flags));
}

#define OPEN(name, large) \
    int name(const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
        return open_at(AT_FDCWD, path, flags | large, mode); \
    }
OPEN(open, 0)
OPEN(open64, O_LARGEFILE)

#define OPENAT(name, large) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
        return open_at(folder, path, flags | large, mode); \
    }
OPENAT(openat, 0)
OPENAT(openat64, O_LARGEFILE)

int __open_2(const char *path, int flags) { return open_at(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_at(AT_FDCWD, path, flags | O_LARGEFILE, 0); }

int mkstemp(char *pattern) {
    REAL(int, "mkstemp", char *);
    return ORDERED(opened(real(pattern), O_CREAT));
}
int mkstemp64(char *pattern) { return mkstemp(pattern); }

static void wrote(int fd, const void *data, ssize_t size, off_t offset) {
    char path[PATH_MAX];
    uint64_t inode;
    if (size > 0 && tracked(fd, path, &inode) == 1)
        note('W', inode, offset >= 0 ? offset : syscall(SYS_lseek, fd, 0, SEEK_CUR) - size, path, data, size);
}

static void spoken(int fd, const void *data, size_t size, char op) {
    int kind = 0, error = errno;
    socklen_t length = sizeof kind;
    if (journal >= 0 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &kind, &length) == 0
        && (kind == AF_INET || kind == AF_INET6))
        note(op, fd, 0, NULL, data, size);
    errno = error;
}

static void *joined(const struct iovec *parts, int count, size_t *size) {
    size_t at = 0;
    *size = 0;
    for (int i = 0; i < count; i++) *size += parts[i].iov_len;
    char *all = malloc(*size + 1);
    for (int i = 0; i < count; at += parts[i++].iov_len) memcpy(all + at, parts[i].iov_base, parts[i].iov_len);
    return all;
}

ssize_t write(int fd, const void *data, size_t size) {
    if (fd == 1 && !children) note('K', 0, 0, NULL, data, size);
    spoken(fd, data, size, 'N');
    ssize_t done = syscall(SYS_write, fd, data, size);
    wrote(fd, data, done, -1);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    size_t size;
    char *all = joined(parts, count, &size);
    ssize_t done = write(fd, all, size);
    free(all);
    return done;
}

#define PWRITE(name, type) \
    ssize_t name(int fd, const void *data, size_t size, type offset) { \
        ssize_t done = syscall(SYS_pwrite64, fd, data, size, offset); \
        wrote(fd, data, done, offset); \
        return done; \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define PWRITEV(name, type) \
    ssize_t name(int fd, const struct iovec *parts, int count, type offset) { \
        size_t size; \
        char *all = joined(parts, count, &size); \
        ssize_t done = pwrite(fd, all, size, offset); \
        free(all); \
        return done; \
    }
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

#define FTRUNCATE(name, type) \
    int name(int fd, type size) { \
        char path[PATH_MAX]; \
        uint64_t inode; \
        int done = syscall(SYS_ftruncate, fd, size); \
        if (done == 0 && tracked(fd, path, &inode) == 1) note('T', inode, size, path, NULL, 0); \
        return done; \
    }
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

static int flushed(int fd, long call) {
    char path[PATH_MAX];
    uint64_t inode;
    int kind = tracked(fd, path, &inode);
    if (kind) note(kind == 2 ? 's' : 'S', inode, 0, path, NULL, 0);
    int done = syscall(call, fd);
    if (kind && done == 0) note(kind == 2 ? 'f' : 'F', inode, 0, path, NULL, 0);
    return done;
}

int fsync(int fd) { return flushed(fd, SYS_fsync); }
int fdatasync(int fd) { return flushed(fd, SYS_fdatasync); }

/* stdio writes past us: what such a file holds is noted whenever it is flushed or closed. */
static void content(FILE *file) {
    char path[PATH_MAX], link[40];
    uint64_t inode;
    int fd = fileno(file), flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || tracked(fd, path, &inode) != 1) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    struct stat facts;
    if (again < 0 || fstat(again, &facts) != 0) return;
    char *all = malloc(facts.st_size + 1);
    ssize_t size = syscall(SYS_pread64, again, all, facts.st_size, 0);
    syscall(SYS_close, again);
    note('T', inode, 0, path, NULL, 0);
    if (size > 0) note('W', inode, 0, path, all, size);
    free(all);
}

int fflush(FILE *file) {
    REAL(int, "fflush", FILE *);
    int done = real(file);
    if (file) content(file);
    return done;
}

int fclose(FILE *file) {
    REAL(int, "fclose", FILE *);
    fflush(file);
    return real(file);
}

FILE *fopen(const char *path, const char *mode) {
    REAL(FILE *, "fopen", const char *, const char *);
    FILE *file = real(path, mode);
    if (file && mode[0] != 'r') opened(fileno(file), mode[0] == 'w' ? O_CREAT | O_TRUNC : O_CREAT);
    return file;
}

FILE *fopen64(const char *path, const char *mode) { return fopen(path, mode); }

/* -- names ------------------------------------------------------------------------------------- */

static int named(long done, char op, const char *path, const char *other) {
    if (done == 0 && (ours(path) || (other && ours(other))))
        note(op, 0, 0, path, other ? other : "", other ? strlen(other) : 0);
    return done;
}

int renameat2(int from, const char *path, int to, const char *other, unsigned flags) {
    char a[PATH_MAX], b[PATH_MAX];
    const char *old = absolute(from, path, a), *new = absolute(to, other, b);
    return ORDERED(named(syscall(SYS_renameat2, from, path, to, other, flags), 'R', old, new));
}
int renameat(int from, const char *path, int to, const char *other) {
    return renameat2(from, path, to, other, 0);
}
int rename(const char *path, const char *other) { return renameat2(AT_FDCWD, path, AT_FDCWD, other, 0); }

int linkat(int from, const char *path, int to, const char *other, int flags) {
    char a[PATH_MAX], b[PATH_MAX];
    const char *old = absolute(from, path, a), *new = absolute(to, other, b);
    return ORDERED(named(syscall(SYS_linkat, from, path, to, other, flags), 'L', old, new));
}
int link(const char *path, const char *other) { return linkat(AT_FDCWD, path, AT_FDCWD, other, 0); }

int unlinkat(int folder, const char *path, int flags) {
    char a[PATH_MAX];
    const char *old = absolute(folder, path, a);
    return ORDERED(named(syscall(SYS_unlinkat, folder, path, flags), 'U', old, NULL));
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) { return unlink(path) == 0 ? 0 : errno == EISDIR ? rmdir(path) : -1; }

int mkdirat(int folder, const char *path, mode_t mode) {
    char a[PATH_MAX];
    const char *old = absolute(folder, path, a);
    return ORDERED(named(syscall(SYS_mkdirat, folder, path, mode), 'M', old, NULL));
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int symlinkat(const char *target, int folder, const char *path) {
    char a[PATH_MAX];
    const char *new = absolute(folder, path, a);
    struct stat facts;
    int done = syscall(SYS_symlinkat, target, folder, path);
    if (done == 0 && ours(new) && lstat(new, &facts) == 0) note('O', facts.st_ino, 0, new, NULL, 0);
    return done;
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

int bind(int fd, const struct sockaddr *place, socklen_t length) {
    int done = syscall(SYS_bind, fd, place, length);
    struct stat facts;
    if (done == 0 && place->sa_family == AF_UNIX) {
        const char *path = ((const struct sockaddr_un *)place)->sun_path;
        if (ours(path) && stat(path, &facts) == 0) note('O', facts.st_ino, 0, path, NULL, 0);
    }
    return done;
}

char *mkdtemp(char *pattern) {
    REAL(char *, "mkdtemp", char *);
    char *made = real(pattern);
    if (made && ours(made)) note('M', 0, 0, made, NULL, 0);
    return made;
}

/* -- what this journal does not understand, and therefore says aloud ------------------------------ */

static void strange(const char *what, int fd) {
    char path[PATH_MAX];
    uint64_t inode;
    if (fd >= 0 && tracked(fd, path, &inode) == 1) note('X', inode, 0, path, what, strlen(what));
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset) {
    if (protection & PROT_WRITE && flags & MAP_SHARED) strange("mmap", fd);
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}
void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, size, protection, flags, fd, offset);
}
ssize_t copy_file_range(int from, off64_t *in, int to, off64_t *out, size_t size, unsigned flags) {
    strange("copy_file_range", to);
    return syscall(SYS_copy_file_range, from, in, to, out, size, flags);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
    strange("sendfile", to);
    return syscall(SYS_sendfile, to, from, offset, size);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t size) { return sendfile64(to, from, offset, size); }
int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
    strange("fallocate", fd);
    return syscall(SYS_fallocate, fd, mode, offset, size);
}
int fallocate(int fd, int mode, off_t offset, off_t size) { return fallocate64(fd, mode, offset, size); }

/* -- the network, and programs --------------------------------------------------------------------- */

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    spoken(fd, data, size, 'N');
    return syscall(SYS_sendto, fd, data, size, flags, to, length);
}
ssize_t send(int fd, const void *data, size_t size, int flags) { return sendto(fd, data, size, flags, NULL, 0); }
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    size_t size;
    char *all = joined(message->msg_iov, message->msg_iovlen, &size);
    spoken(fd, all, size, 'N');
    free(all);
    return syscall(SYS_sendmsg, fd, message, flags);
}
ssize_t recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *from, socklen_t *length) {
    ssize_t done = syscall(SYS_recvfrom, fd, data, size, flags, from, length);
    if (done > 0 && !(flags & MSG_PEEK)) spoken(fd, data, done, 'V');
    return done;
}
ssize_t recv(int fd, void *data, size_t size, int flags) { return recvfrom(fd, data, size, flags, NULL, NULL); }

int connect(int fd, const struct sockaddr *to, socklen_t length) {
    spoken(fd, NULL, 0, 'C'); /* a number is used again: what follows is another conversation */
    return syscall(SYS_connect, fd, to, length);
}

/* Between fork and exec, where every descriptor may have been closed, ours too. */
static void started(char *const *arguments) {
    if (journal < 0) return;
    char line[8192] = "";
    for (size_t at = 0; *arguments && at + strlen(*arguments) + 2 < sizeof line; arguments++)
        at += sprintf(line + at, "%s\n", *arguments);
    int again = syscall(SYS_openat, AT_FDCWD, journal_path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    note_to(again, 'E', 0, 0, NULL, line, strlen(line));
    syscall(SYS_close, again);
}
int execve(const char *path, char *const *arguments, char *const *environment) {
    started(arguments);
    return syscall(SYS_execve, path, arguments, environment);
}
int execv(const char *path, char *const *arguments) { return execve(path, arguments, environ); }
