# fish completion for ocirt(8): completions/generate_completions.py writes it, from the tables behind --help

# The words before the cursor: prints the command, and the number of the argument that is next.
function __ocirt_place
    set -l words (commandline -opc)
    set -e words[1]
    set -l command ''
    set -l number 0
    set -l skip no
    for word in $words
        if test $skip = yes
            set skip no
        else if string match -qr -- '^-.*=' $word
        else if string match -q -- '-*' $word
            switch "$command:"(string replace -r -- '^--?' '' $word)
                case ':log' ':log-format' ':root' ':cgroup-manager' ':rootless' ':trace' 'checkpoint:image-path' 'checkpoint:work-path' 'checkpoint:manage-cgroups-mode' 'checkpoint:empty-ns' 'checkpoint:parent-path' 'checkpoint:status-fd' 'checkpoint:page-server' 'create:bundle' 'create:b' 'create:console-socket' 'create:pidfd-socket' 'create:pid-file' 'create:preserve-fds' 'events:interval' 'exec:console-socket' 'exec:pidfd-socket' 'exec:cwd' 'exec:env' 'exec:e' 'exec:user' 'exec:u' 'exec:additional-gids' 'exec:g' 'exec:process' 'exec:p' 'exec:pid-file' 'exec:process-label' 'exec:apparmor' 'exec:cap' 'exec:c' 'exec:preserve-fds' 'exec:cgroup' 'list:format' 'list:f' 'plan:bundle' 'plan:b' 'ps:format' 'ps:f' 'restore:bundle' 'restore:b' 'restore:console-socket' 'restore:pid-file' 'restore:image-path' 'restore:work-path' 'restore:manage-cgroups-mode' 'restore:empty-ns' 'restore:lsm-profile' 'restore:lsm-mount-context' 'run:bundle' 'run:b' 'run:console-socket' 'run:pidfd-socket' 'run:pid-file' 'run:preserve-fds' 'run:record-seccomp' 'spec:bundle' 'spec:b' 'stats:interval' 'update:resources' 'update:r' 'update:blkio-weight' 'update:cpu-period' 'update:cpu-quota' 'update:cpu-burst' 'update:cpu-share' 'update:cpu-rt-period' 'update:cpu-rt-runtime' 'update:cpuset-cpus' 'update:cpuset-mems' 'update:memory' 'update:cpu-idle' 'update:memory-reservation' 'update:memory-swap' 'update:pids-limit' 'update:l3-cache-schema' 'update:mem-bw-schema'
                    set skip yes
            end
        else if test -z "$command"
            set command $word
            set number 1
        else
            set number (math $number + 1)
        end
    end
    echo $command
    echo $number
end

function __ocirt_is # COMMAND [NUMBER...]: whether that is the command, and one of these the number of the argument
    set -l place (__ocirt_place)
    test "$place[1]" = "$argv[1]"
    and begin
        test (count $argv) -eq 1
        or contains -- $place[2] $argv[2..]
    end
end

function __ocirt_containers
    set -l root
    set -l words (commandline -opc)
    for index in (seq (count $words))
        switch $words[$index]
            case --root -root
                set root --root $words[(math $index + 1)]
            case '--root=*' '-root=*'
                set root --root (string replace -r -- '^--?root=' '' $words[$index])
        end
    end
    ocirt $root list --quiet 2>/dev/null
end

complete -c ocirt -f
complete -c ocirt -n '__ocirt_is ""' -a checkpoint -d 'save a running container in files, with criu'
complete -c ocirt -n '__ocirt_is ""' -a create -d 'create a container'
complete -c ocirt -n '__ocirt_is ""' -a delete -d 'delete any resources held by the container, often used with a detached container'
complete -c ocirt -n '__ocirt_is ""' -a devices -d 'put devices into a running container, or take them out of it'
complete -c ocirt -n '__ocirt_is ""' -a events -d 'display container events such as OOM notifications, cpu, memory, and IO usage statistics'
complete -c ocirt -n '__ocirt_is ""' -a exec -d 'execute a new process inside the container'
complete -c ocirt -n '__ocirt_is ""' -a features -d 'show what this runtime supports, as JSON'
complete -c ocirt -n '__ocirt_is ""' -a kill -d 'send a signal (default: SIGTERM) to the container\'s init process'
complete -c ocirt -n '__ocirt_is ""' -a list -d 'list the containers of the given root'
complete -c ocirt -n '__ocirt_is ""' -a mounts -d 'mount something in a running container, or unmount it there'
complete -c ocirt -n '__ocirt_is ""' -a pause -d 'suspend all processes inside a container'
complete -c ocirt -n '__ocirt_is ""' -a plan -d 'show the steps that would create the container of a bundle'
complete -c ocirt -n '__ocirt_is ""' -a ps -d 'display the processes that run inside a container'
complete -c ocirt -n '__ocirt_is ""' -a restore -d 'make a running container of the files of a checkpoint'
complete -c ocirt -n '__ocirt_is ""' -a resume -d 'let all processes of a paused container run again'
complete -c ocirt -n '__ocirt_is ""' -a run -d 'create and run a container'
complete -c ocirt -n '__ocirt_is ""' -a spec -d 'create a new specification file'
complete -c ocirt -n '__ocirt_is ""' -a start -d 'execute the user-defined process in a created container'
complete -c ocirt -n '__ocirt_is ""' -a state -d 'output the state of a container'
complete -c ocirt -n '__ocirt_is ""' -a stats -d 'display what containers use, as a table that is drawn again and again'
complete -c ocirt -n '__ocirt_is ""' -a update -d 'update container resource constraints'
complete -c ocirt -n '__ocirt_is ""' -a help -d 'show the help of one command'
complete -c ocirt -n '__ocirt_is ""' -l debug -d 'log what is done, step by step'
complete -c ocirt -n '__ocirt_is ""' -l log -r -F -d 'append errors and warnings to this file (default is standard error)'
complete -c ocirt -n '__ocirt_is ""' -l log-format -x -a 'text json' -d 'the form of the log: \'text\' or \'json\''
complete -c ocirt -n '__ocirt_is ""' -l root -x -a '(__fish_complete_directories (commandline -ct))' -d 'the directory of the containers\' state, on a tmpfs (default: /run/ocirt, or below $XDG_RUNTIME_DIR)'
complete -c ocirt -n '__ocirt_is ""' -l cgroup-manager -x -a 'cgroupfs systemd disabled' -d 'who makes cgroups: \'cgroupfs\', \'systemd\' or \'disabled\''
complete -c ocirt -n '__ocirt_is ""' -l systemd-cgroup -d 'the same as --cgroup-manager systemd'
complete -c ocirt -n '__ocirt_is ""' -l rootless -x -a 'true false auto' -d 'ignore cgroup permission errors: \'true\', \'false\' or \'auto\''
complete -c ocirt -n '__ocirt_is ""' -l trace -r -F -d 'write a timeline of the command and of the init to this file, for Perfetto or chrome://tracing'
complete -c ocirt -n '__ocirt_is ""' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is ""' -l version -s v -d 'print the version'
complete -c ocirt -n '__ocirt_is checkpoint' -l image-path -x -a '(__fish_complete_directories (commandline -ct))' -d 'directory of the image files (default: ./checkpoint)'
complete -c ocirt -n '__ocirt_is checkpoint' -l work-path -x -a '(__fish_complete_directories (commandline -ct))' -d 'directory of the log and of working files (default: that of the images)'
complete -c ocirt -n '__ocirt_is checkpoint' -l tcp-established -d 'allow open tcp connections'
complete -c ocirt -n '__ocirt_is checkpoint' -l ext-unix-sk -d 'allow external unix sockets'
complete -c ocirt -n '__ocirt_is checkpoint' -l shell-job -d 'allow shell jobs'
complete -c ocirt -n '__ocirt_is checkpoint' -l lazy-pages -d 'fetch memory pages when they are used, with userfaultfd'
complete -c ocirt -n '__ocirt_is checkpoint' -l file-locks -d 'handle file locks, for safety'
complete -c ocirt -n '__ocirt_is checkpoint' -l manage-cgroups-mode -x -a 'soft full strict ignore' -d 'what becomes of cgroups: soft, full, strict or ignore (default: soft)'
complete -c ocirt -n '__ocirt_is checkpoint' -l empty-ns -x -a 'network' -d 'a namespace of which nothing is kept: network, as is the case anyway'
complete -c ocirt -n '__ocirt_is checkpoint' -l auto-dedup -d 'keep each page in one image only'
complete -c ocirt -n '__ocirt_is checkpoint' -l parent-path -x -d 'directory of an earlier --pre-dump, as seen from the image directory'
complete -c ocirt -n '__ocirt_is checkpoint' -l leave-running -d 'let the container run on, and do not delete it'
complete -c ocirt -n '__ocirt_is checkpoint' -l tcp-skip-in-flight -d 'skip tcp connections that are being made'
complete -c ocirt -n '__ocirt_is checkpoint' -l link-remap -d 'link unlinked files back, where that is possible'
complete -c ocirt -n '__ocirt_is checkpoint' -l status-fd -x -d 'file descriptor that gets a zero byte when --lazy-pages is ready'
complete -c ocirt -n '__ocirt_is checkpoint' -l page-server -x -d 'ADDRESS:PORT of the server that the pages go to, or with --lazy-pages come from'
complete -c ocirt -n '__ocirt_is checkpoint' -l pre-dump -d 'save the memory alone, and let the container run on'
complete -c ocirt -n '__ocirt_is checkpoint' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is checkpoint 1' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is create' -l bundle -s b -x -a '(__fish_complete_directories (commandline -ct))' -d 'path to the root of the bundle directory, defaults to the current directory'
complete -c ocirt -n '__ocirt_is create' -l console-socket -r -F -d 'path to an AF_UNIX socket which receives the master end of the console\'s pseudoterminal'
complete -c ocirt -n '__ocirt_is create' -l pidfd-socket -r -F -d 'path to an AF_UNIX socket which receives a pidfd of the new process'
complete -c ocirt -n '__ocirt_is create' -l pid-file -r -F -d 'specify the file to write the process id to'
complete -c ocirt -n '__ocirt_is create' -l no-pivot -d 'do not use pivot_root(2): for a rootfs on a ramdisk. The old root stays within reach of a privileged process'
complete -c ocirt -n '__ocirt_is create' -l no-new-keyring -d 'do not create a new session keyring, but inherit that of the calling process'
complete -c ocirt -n '__ocirt_is create' -l preserve-fds -x -d 'pass N additional file descriptors to the process (stdio + $LISTEN_FDS + N in total)'
complete -c ocirt -n '__ocirt_is create' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is delete' -l force -s f -d 'delete it even if it is still running (by SIGKILL), and accept that it is gone'
complete -c ocirt -n '__ocirt_is delete' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is delete 1' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is devices' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is devices 1' -x -a 'add remove'
complete -c ocirt -n '__ocirt_is devices 2' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is devices 3' -r -F
complete -c ocirt -n '__ocirt_is events' -l interval -x -d 'set the stats collection interval'
complete -c ocirt -n '__ocirt_is events' -l stats -d 'display the container\'s stats then exit'
complete -c ocirt -n '__ocirt_is events' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is events 1' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is exec 1' -l console-socket -r -F -d 'path to an AF_UNIX socket which receives the master end of the console\'s pseudoterminal'
complete -c ocirt -n '__ocirt_is exec 1' -l pidfd-socket -r -F -d 'path to an AF_UNIX socket which receives a pidfd of the new process'
complete -c ocirt -n '__ocirt_is exec 1' -l cwd -x -d 'current working directory in the container'
complete -c ocirt -n '__ocirt_is exec 1' -l env -s e -x -d 'set an environment variable, NAME=VALUE'
complete -c ocirt -n '__ocirt_is exec 1' -l tty -s t -d 'allocate a pseudo-TTY'
complete -c ocirt -n '__ocirt_is exec 1' -l user -s u -x -d 'UID (format: <uid>[:<gid>])'
complete -c ocirt -n '__ocirt_is exec 1' -l additional-gids -s g -x -d 'additional gids'
complete -c ocirt -n '__ocirt_is exec 1' -l process -s p -r -F -d 'path to the process.json'
complete -c ocirt -n '__ocirt_is exec 1' -l detach -s d -d 'detach from the process'
complete -c ocirt -n '__ocirt_is exec 1' -l pid-file -r -F -d 'specify the file to write the process id to'
complete -c ocirt -n '__ocirt_is exec 1' -l process-label -x -d 'set the SELinux label of the process'
complete -c ocirt -n '__ocirt_is exec 1' -l apparmor -x -d 'set the apparmor profile for the process'
complete -c ocirt -n '__ocirt_is exec 1' -l no-new-privs -d 'set the no new privileges value for the process'
complete -c ocirt -n '__ocirt_is exec 1' -l cap -s c -x -a 'CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE' -d 'add a capability to the bounding, effective and permitted sets'
complete -c ocirt -n '__ocirt_is exec 1' -l preserve-fds -x -d 'pass N additional file descriptors to the process (stdio + $LISTEN_FDS + N in total)'
complete -c ocirt -n '__ocirt_is exec 1' -l cgroup -x -d 'run the process in an existing sub-cgroup: [<controller>:]<cgroup>'
complete -c ocirt -n '__ocirt_is exec 1' -l ignore-paused -d 'allow exec in a paused container'
complete -c ocirt -n '__ocirt_is exec 1' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is exec 1' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is features' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is kill' -l all -s a -d 'send the signal to every process of the container, and accept that there is none'
complete -c ocirt -n '__ocirt_is kill' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is kill 1' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is kill 2' -x -a 'ABRT ALRM CONT HUP INT KILL PIPE QUIT STOP TERM TSTP TTIN TTOU USR1 USR2 WINCH'
complete -c ocirt -n '__ocirt_is list' -l format -s f -x -a 'table json' -d 'select one of: table or json'
complete -c ocirt -n '__ocirt_is list' -l quiet -s q -d 'display only container IDs'
complete -c ocirt -n '__ocirt_is list' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is mounts' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is mounts 1' -x -a 'add remove'
complete -c ocirt -n '__ocirt_is mounts 2' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is mounts 3' -r -F
complete -c ocirt -n '__ocirt_is pause' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is pause 1' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is plan' -l bundle -s b -x -a '(__fish_complete_directories (commandline -ct))' -d 'path to the root of the bundle directory, defaults to the current directory'
complete -c ocirt -n '__ocirt_is plan' -l json -d 'print a JSON array'
complete -c ocirt -n '__ocirt_is plan' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is ps' -l format -s f -x -a 'table json' -d 'select one of: table or json'
complete -c ocirt -n '__ocirt_is ps' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is ps 1' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is restore' -l bundle -s b -x -a '(__fish_complete_directories (commandline -ct))' -d 'path to the root of the bundle directory, defaults to the current directory'
complete -c ocirt -n '__ocirt_is restore' -l console-socket -r -F -d 'path to an AF_UNIX socket which receives the master end of the console\'s pseudoterminal'
complete -c ocirt -n '__ocirt_is restore' -l pid-file -r -F -d 'specify the file to write the process id to'
complete -c ocirt -n '__ocirt_is restore' -l detach -s d -d 'detach from the container\'s process'
complete -c ocirt -n '__ocirt_is restore' -l no-subreaper -d 'do not reap the orphans of the container\'s processes'
complete -c ocirt -n '__ocirt_is restore' -l no-pivot -d 'accepted for the callers of runc; the root is changed by criu'
complete -c ocirt -n '__ocirt_is restore' -l image-path -x -a '(__fish_complete_directories (commandline -ct))' -d 'directory of the image files (default: ./checkpoint)'
complete -c ocirt -n '__ocirt_is restore' -l work-path -x -a '(__fish_complete_directories (commandline -ct))' -d 'directory of the log and of working files (default: that of the images)'
complete -c ocirt -n '__ocirt_is restore' -l tcp-established -d 'allow open tcp connections'
complete -c ocirt -n '__ocirt_is restore' -l ext-unix-sk -d 'allow external unix sockets'
complete -c ocirt -n '__ocirt_is restore' -l shell-job -d 'allow shell jobs'
complete -c ocirt -n '__ocirt_is restore' -l lazy-pages -d 'fetch memory pages when they are used, with userfaultfd'
complete -c ocirt -n '__ocirt_is restore' -l file-locks -d 'handle file locks, for safety'
complete -c ocirt -n '__ocirt_is restore' -l manage-cgroups-mode -x -a 'soft full strict ignore' -d 'what becomes of cgroups: soft, full, strict or ignore (default: soft)'
complete -c ocirt -n '__ocirt_is restore' -l empty-ns -x -a 'network' -d 'a namespace of which nothing is kept: network, as is the case anyway'
complete -c ocirt -n '__ocirt_is restore' -l auto-dedup -d 'keep each page in one image only'
complete -c ocirt -n '__ocirt_is restore' -l lsm-profile -x -d 'another profile than the saved one, as apparmor:NAME or selinux:LABEL'
complete -c ocirt -n '__ocirt_is restore' -l lsm-mount-context -x -d 'another SELinux context of mounts than the saved one'
complete -c ocirt -n '__ocirt_is restore' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is resume' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is resume 1' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is run' -l bundle -s b -x -a '(__fish_complete_directories (commandline -ct))' -d 'path to the root of the bundle directory, defaults to the current directory'
complete -c ocirt -n '__ocirt_is run' -l console-socket -r -F -d 'path to an AF_UNIX socket which receives the master end of the console\'s pseudoterminal'
complete -c ocirt -n '__ocirt_is run' -l pidfd-socket -r -F -d 'path to an AF_UNIX socket which receives a pidfd of the new process'
complete -c ocirt -n '__ocirt_is run' -l pid-file -r -F -d 'specify the file to write the process id to'
complete -c ocirt -n '__ocirt_is run' -l no-pivot -d 'do not use pivot_root(2): for a rootfs on a ramdisk. The old root stays within reach of a privileged process'
complete -c ocirt -n '__ocirt_is run' -l no-new-keyring -d 'do not create a new session keyring, but inherit that of the calling process'
complete -c ocirt -n '__ocirt_is run' -l preserve-fds -x -d 'pass N additional file descriptors to the process (stdio + $LISTEN_FDS + N in total)'
complete -c ocirt -n '__ocirt_is run' -l detach -s d -d 'detach from the container\'s process'
complete -c ocirt -n '__ocirt_is run' -l keep -d 'do not delete the container after it exits'
complete -c ocirt -n '__ocirt_is run' -l record-seccomp -r -F -d 'write the smallest linux.seccomp that this run of the container needs to this file'
complete -c ocirt -n '__ocirt_is run' -l no-subreaper -d 'do not reap the orphans of the container\'s processes'
complete -c ocirt -n '__ocirt_is run' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is spec' -l bundle -s b -x -a '(__fish_complete_directories (commandline -ct))' -d 'path to the root of the bundle directory'
complete -c ocirt -n '__ocirt_is spec' -l rootless -d 'generate a configuration for a rootless container'
complete -c ocirt -n '__ocirt_is spec' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is start' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is start 1' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is state' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is state 1' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is stats' -l interval -x -d 'how long to wait between two looks'
complete -c ocirt -n '__ocirt_is stats' -l no-stream -d 'draw one table, of the first --interval, then exit'
complete -c ocirt -n '__ocirt_is stats' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is stats' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is update' -l resources -s r -r -F -d 'path to the file containing the resources to update or \'-\' to read from the standard input; all other options are ignored then'
complete -c ocirt -n '__ocirt_is update' -l blkio-weight -x -d 'per cgroup weight, range is from 10 to 1000'
complete -c ocirt -n '__ocirt_is update' -l cpu-period -x -d 'CPU CFS period to be used for hardcapping (in usecs). 0 to use system default'
complete -c ocirt -n '__ocirt_is update' -l cpu-quota -x -d 'CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period'
complete -c ocirt -n '__ocirt_is update' -l cpu-burst -x -d 'CPU CFS hardcap burst limit (in usecs). Allowed accumulated cpu time for burst a given period'
complete -c ocirt -n '__ocirt_is update' -l cpu-share -x -d 'CPU shares (relative weight vs. other containers)'
complete -c ocirt -n '__ocirt_is update' -l cpu-rt-period -x -d 'CPU realtime period to be used for hardcapping (in usecs). 0 to use system default'
complete -c ocirt -n '__ocirt_is update' -l cpu-rt-runtime -x -d 'CPU realtime hardcap limit (in usecs). Allowed cpu time in a given period'
complete -c ocirt -n '__ocirt_is update' -l cpuset-cpus -x -d 'CPU(s) to use'
complete -c ocirt -n '__ocirt_is update' -l cpuset-mems -x -d 'memory node(s) to use'
complete -c ocirt -n '__ocirt_is update' -l memory -x -d 'memory limit (in bytes)'
complete -c ocirt -n '__ocirt_is update' -l cpu-idle -x -a '0 1' -d 'set cgroup SCHED_IDLE or not, 0: default behavior, 1: SCHED_IDLE'
complete -c ocirt -n '__ocirt_is update' -l memory-reservation -x -d 'memory reservation or soft_limit (in bytes)'
complete -c ocirt -n '__ocirt_is update' -l memory-swap -x -d 'total memory usage (memory + swap); set \'-1\' to enable unlimited swap'
complete -c ocirt -n '__ocirt_is update' -l pids-limit -x -d 'maximum number of pids allowed in the container'
complete -c ocirt -n '__ocirt_is update' -l l3-cache-schema -x -d 'the string of Intel RDT/CAT L3 cache schema'
complete -c ocirt -n '__ocirt_is update' -l mem-bw-schema -x -d 'the string of Intel RDT/MBA memory bandwidth schema'
complete -c ocirt -n '__ocirt_is update' -l help -s h -d 'show help'
complete -c ocirt -n '__ocirt_is update 1' -x -a '(__ocirt_containers)'
complete -c ocirt -n '__ocirt_is help 1' -x -a 'checkpoint create delete devices events exec features kill list mounts pause plan ps restore resume run spec start state stats update'
