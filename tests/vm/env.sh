# Sourced by the scripts beside it. Every path can be set from outside.
: "${VM_DIR:=${XDG_CACHE_HOME:-$HOME/.cache}/berth-vm}"   # image, kernel, keys, state
: "${VM_SUITE:=bookworm}"          # Debian suite of the guest
: "${VM_FLAVOUR:=cloud-amd64}"     # linux-image-$VM_FLAVOUR: nvme + ext4 built in, so no initramfs
: "${VM_NAME:=vm0}"                # one state folder per VM: several can run side by side
: "${VM_SSH_PORT:=$((22000 + $(printf %s "$VM_NAME" | cksum | cut -d' ' -f1) % 2000))}"
: "${VM_SMP:=2}" "${VM_MEM:=4096}"
: "${VM_ACCEL:=tcg,thread=multi,tb-size=512}"
: "${VM_CPU:=max}"
VM_BASE=$VM_DIR/$VM_SUITE
VM_STATE=$VM_DIR/run/$VM_NAME
VM_PIDFILE=$VM_STATE/qemu.pid

vm_ssh_opts=(-F /dev/null -i "$VM_DIR/key" -p "$VM_SSH_PORT" -o BatchMode=yes
  -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
  -o ConnectTimeout=10 -o ControlMaster=auto -o "ControlPath=$VM_STATE/ctl" -o ControlPersist=600)

vm_alive() {   # the pid file's process still is our qemu
  local p; p=$(cat "$VM_PIDFILE" 2>/dev/null) || return 1
  tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | grep -q -- "-name $VM_NAME"
}
vm_wait_ssh() { # $1: seconds
  local end=$((SECONDS + ${1:-300}))
  while [ $SECONDS -lt $end ]; do
    vm_alive || { echo "qemu is gone; last of the console:" >&2; tail -20 "$VM_STATE/console.log" >&2; return 1; }
    # a raw look at the banner first: qemu accepts the port long before sshd answers
    if [ "$(timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$VM_SSH_PORT; head -c 4 <&3" 2>/dev/null)" = SSH- ] &&
       timeout 60 ssh "${vm_ssh_opts[@]}" root@127.0.0.1 true 2>/dev/null; then return 0; fi
    sleep 0.3
  done
  echo "no ssh after ${1:-300}s; last of the console:" >&2; tail -20 "$VM_STATE/console.log" >&2; return 1
}
