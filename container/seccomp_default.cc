#include "container/seccomp_default.h"

#include <cerrno>

namespace berth::container {
namespace {

// clang-format off
constexpr std::string_view kAllowed[] = {
    "_llseek", "_newselect", "accept", "accept4", "access", "adjtimex", "alarm", "bind", "brk", "cachestat", "capget",
    "capset", "chdir", "chmod", "chown", "chown32", "clock_adjtime", "clock_adjtime64", "clock_getres",
    "clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "close",
    "close_range", "connect", "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1",
    "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd",
    "eventfd2", "execve", "execveat", "exit", "exit_group", "faccessat", "faccessat2", "fadvise64", "fadvise64_64",
    "fallocate", "fanotify_mark", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat",
    "fcntl", "fcntl64", "fdatasync", "fgetxattr", "flistxattr", "flock", "fork", "fremovexattr", "fsetxattr", "fstat",
    "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate", "ftruncate64", "futex", "futex_requeue",
    "futex_time64", "futex_wait", "futex_waitv", "futex_wake", "futimesat", "get_robust_list", "get_thread_area",
    "getcpu", "getcwd", "getdents", "getdents64", "getegid", "getegid32", "geteuid", "geteuid32", "getgid",
    "getgid32", "getgroups", "getgroups32", "getitimer", "getpeername", "getpgid", "getpgrp", "getpid", "getppid",
    "getpriority", "getrandom", "getresgid", "getresgid32", "getresuid", "getresuid32", "getrlimit", "getrusage",
    "getsid", "getsockname", "getsockopt", "gettid", "gettimeofday", "getuid", "getuid32", "getxattr", "getxattrat",
    "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy",
    "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup", "io_submit", "ioctl", "ioprio_get",
    "ioprio_set", "ipc", "kill", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "lchown",
    "lchown32", "lgetxattr", "link", "linkat", "listen", "listmount", "listxattr", "listxattrat", "llistxattr",
    "lremovexattr", "lseek", "lsetxattr", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "lstat",
    "lstat64", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret", "mincore", "mkdir",
    "mkdirat", "mknod", "mknodat", "mlock", "mlock2", "mlockall", "mmap", "mmap2", "mprotect", "mq_getsetattr",
    "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64",
    "mq_unlink", "mremap", "mseal", "msgctl", "msgget", "msgrcv", "msgsnd", "msync", "munlock", "munlockall",
    "munmap", "name_to_handle_at", "nanosleep", "newfstatat", "open", "openat", "openat2", "pause", "pidfd_open",
    "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc", "pkey_free", "pkey_mprotect", "poll", "ppoll", "ppoll_time64",
    "prctl", "pread64", "preadv", "preadv2", "prlimit64", "process_mrelease", "pselect6", "pselect6_time64",
    "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "recv", "recvfrom",
    "recvmmsg", "recvmmsg_time64", "recvmsg", "remap_file_pages", "removexattr", "removexattrat", "rename",
    "renameat", "renameat2", "restart_syscall", "rmdir", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr",
    "sched_getparam", "sched_getscheduler", "sched_rr_get_interval", "sched_rr_get_interval_time64",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield", "seccomp", "select",
    "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "send", "sendfile", "sendfile64", "sendmmsg",
    "sendmsg", "sendto", "set_robust_list", "set_thread_area", "set_tid_address", "setfsgid", "setfsgid32",
    "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32", "setitimer", "setpgid", "setpriority",
    "setregid", "setregid32", "setresgid", "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32",
    "setrlimit", "setsid", "setsockopt", "setuid", "setuid32", "setxattr", "setxattrat", "shmat", "shmctl", "shmdt",
    "shmget", "shutdown", "sigaltstack", "signalfd", "signalfd4", "sigprocmask", "sigreturn", "socketcall",
    "socketpair", "splice", "stat", "stat64", "statfs", "statfs64", "statmount", "statx", "symlink", "symlinkat",
    "sync", "sync_file_range", "syncfs", "sysinfo", "tee", "tgkill", "time", "timer_create", "timer_delete",
    "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime", "timer_settime64", "timerfd_create",
    "timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64", "times", "tkill", "truncate",
    "truncate64", "ugetrlimit", "umask", "uname", "unlink", "unlinkat", "uretprobe", "utime", "utimensat",
    "utimensat_time64", "utimes", "vfork", "vmsplice", "wait4", "waitid", "waitpid", "write", "writev",
};

constexpr DefaultRule kRules[] = {
    {.syscall = "acct", .if_capability = "CAP_SYS_PACCT"},
    {.syscall = "arch_prctl", .if_architectures = "amd64"},
    {.syscall = "arm_fadvise64_64", .if_architectures = "arm,arm64"},
    {.syscall = "arm_sync_file_range", .if_architectures = "arm,arm64"},
    {.syscall = "bpf", .if_capability = "CAP_BPF"},
    {.syscall = "bpf", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "breakpoint", .if_architectures = "arm,arm64"},
    {.syscall = "cacheflush", .if_architectures = "arm,arm64"},
    {.syscall = "chroot", .if_capability = "CAP_SYS_CHROOT"},
    {.syscall = "clock_settime", .if_capability = "CAP_SYS_TIME"},
    {.syscall = "clock_settime64", .if_capability = "CAP_SYS_TIME"},
    {.syscall = "clone", .unless_capability = "CAP_SYS_ADMIN", .unless_architectures = "s390,s390x", .argument = DefaultArgument{.index = 0, .op = "SCMP_CMP_MASKED_EQ", .value = 2114060288u, .value_two = 0}},
    {.syscall = "clone", .unless_capability = "CAP_SYS_ADMIN", .if_architectures = "s390,s390x", .argument = DefaultArgument{.index = 1, .op = "SCMP_CMP_MASKED_EQ", .value = 2114060288u, .value_two = 0}},
    {.syscall = "clone", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "clone3", .error = ENOSYS, .unless_capability = "CAP_SYS_ADMIN"},
    {.syscall = "clone3", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "delete_module", .if_capability = "CAP_SYS_MODULE"},
    {.syscall = "fanotify_init", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "finit_module", .if_capability = "CAP_SYS_MODULE"},
    {.syscall = "fsconfig", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "fsmount", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "fsopen", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "fspick", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "get_mempolicy", .if_capability = "CAP_SYS_NICE"},
    {.syscall = "init_module", .if_capability = "CAP_SYS_MODULE"},
    {.syscall = "ioperm", .if_capability = "CAP_SYS_RAWIO"},
    {.syscall = "iopl", .if_capability = "CAP_SYS_RAWIO"},
    {.syscall = "kcmp", .if_capability = "CAP_SYS_PTRACE"},
    {.syscall = "lookup_dcookie", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "mbind", .if_capability = "CAP_SYS_NICE"},
    {.syscall = "modify_ldt", .if_architectures = "386"},
    {.syscall = "modify_ldt", .if_architectures = "amd64"},
    {.syscall = "mount", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "mount_setattr", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "move_mount", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "open_by_handle_at", .if_capability = "CAP_DAC_READ_SEARCH"},
    {.syscall = "open_tree", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "perf_event_open", .if_capability = "CAP_PERFMON"},
    {.syscall = "perf_event_open", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "personality", .argument = DefaultArgument{.index = 0, .op = "SCMP_CMP_EQ", .value = 0u}},
    {.syscall = "personality", .argument = DefaultArgument{.index = 0, .op = "SCMP_CMP_EQ", .value = 131072u}},
    {.syscall = "personality", .argument = DefaultArgument{.index = 0, .op = "SCMP_CMP_EQ", .value = 131080u}},
    {.syscall = "personality", .argument = DefaultArgument{.index = 0, .op = "SCMP_CMP_EQ", .value = 4294967295u}},
    {.syscall = "personality", .argument = DefaultArgument{.index = 0, .op = "SCMP_CMP_EQ", .value = 8u}},
    {.syscall = "pidfd_getfd", .if_capability = "CAP_SYS_PTRACE"},
    {.syscall = "process_madvise", .if_capability = "CAP_SYS_PTRACE"},
    {.syscall = "process_vm_readv", .kernel_major = 4, .kernel_minor = 8},
    {.syscall = "process_vm_readv", .if_capability = "CAP_SYS_PTRACE"},
    {.syscall = "process_vm_writev", .kernel_major = 4, .kernel_minor = 8},
    {.syscall = "process_vm_writev", .if_capability = "CAP_SYS_PTRACE"},
    {.syscall = "ptrace", .kernel_major = 4, .kernel_minor = 8},
    {.syscall = "ptrace", .if_capability = "CAP_SYS_PTRACE"},
    {.syscall = "quotactl", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "quotactl_fd", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "reboot", .if_capability = "CAP_SYS_BOOT"},
    {.syscall = "riscv_flush_icache", .if_architectures = "riscv64"},
    {.syscall = "riscv_hwprobe", .if_architectures = "riscv64"},
    {.syscall = "s390_pci_mmio_read", .if_architectures = "s390,s390x"},
    {.syscall = "s390_pci_mmio_write", .if_architectures = "s390,s390x"},
    {.syscall = "s390_runtime_instr", .if_architectures = "s390,s390x"},
    {.syscall = "set_mempolicy", .if_capability = "CAP_SYS_NICE"},
    {.syscall = "set_mempolicy_home_node", .if_capability = "CAP_SYS_NICE"},
    {.syscall = "set_tls", .if_architectures = "arm,arm64"},
    {.syscall = "setdomainname", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "sethostname", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "setns", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "settimeofday", .if_capability = "CAP_SYS_TIME"},
    {.syscall = "socket", .argument = DefaultArgument{.index = 0, .op = "SCMP_CMP_EQ", .value = 39u}},
    {.syscall = "socket", .argument = DefaultArgument{.index = 0, .op = "SCMP_CMP_GT", .value = 40u}},
    {.syscall = "socket", .argument = DefaultArgument{.index = 0, .op = "SCMP_CMP_LT", .value = 38u}},
    {.syscall = "stime", .if_capability = "CAP_SYS_TIME"},
    {.syscall = "swapcontext", .if_architectures = "ppc64le"},
    {.syscall = "sync_file_range2", .if_architectures = "arm,arm64"},
    {.syscall = "sync_file_range2", .if_architectures = "ppc64le"},
    {.syscall = "syslog", .if_capability = "CAP_SYSLOG"},
    {.syscall = "syslog", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "umount", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "umount2", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "unshare", .if_capability = "CAP_SYS_ADMIN"},
    {.syscall = "vhangup", .if_capability = "CAP_SYS_TTY_CONFIG"},
};
// clang-format on

}  // namespace

std::vector<std::string> DefaultArchitectures(std::string_view architecture) {
  if (architecture == "amd64") return {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  if (architecture == "arm64") return {"SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"};
  if (architecture == "s390x") return {"SCMP_ARCH_S390", "SCMP_ARCH_S390X"};
  return {};
}

std::span<const std::string_view> AlwaysAllowed() {
  return kAllowed;
}
std::span<const DefaultRule> ConditionalRules() {
  return kRules;
}

}  // namespace berth::container
