#!/bin/sh
# Stands in for a Python with TRL: answers the question for versions, and speaks the script's
# protocol in the way that the file `mode` beside it says. Steps take 20 ms and learn nothing.
here=$(dirname "$0")
mode=$(cat "$here/mode")

if [ "$1" = -c ]; then
    trl='"1.16.0"'
    case $mode in
        lacking) trl=null ;;
        old) trl='"0.9.6"' ;;
        broken) exit 3 ;;
        babbling) echo "Python 2.7"; exit 0 ;;
    esac
    echo "{\"python\": \"3.11.7\", \"packages\": {\"torch\": \"2.11.0\", \"transformers\": \"5.24.0\", \"peft\": \"0.21.2\", \"trl\": $trl, \"accelerate\": \"1.15.0\", \"datasets\": \"5.2.0\"}}"
    exit 0
fi

echo "$@" >"$here/arguments"
for job; do :; done
value() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$job"; }
batch=$(value batch)
pairs=$(wc -l <"$(value pairs)")
total=$(($(value epochs) * ((pairs + batch - 1) / batch)))
step=$(value resume | sed 's/.*checkpoint-//; s/null/0/')

case $mode in
    silent) exit 4 ;;
    crash)
        echo "Traceback (most recent call last):" >&2
        echo "RuntimeError: the stars are wrong" >&2
        kill -KILL $$
        ;;
    garbage)
        printf '{"type": "step", "step": 1'
        printf '\n{"loss": 3}\n\377\376\n[]\n'
        head -c 3000000 /dev/zero | tr '\0' x
        echo
        ;;
    memory) echo '{"type": "error", "kind": "memory", "message": "OutOfMemoryError: CUDA out of memory"}'; exit 1 ;;
    disk) echo '{"type": "error", "kind": "disk", "message": "OSError: [Errno 28] No space left on device"}'; exit 1 ;;
    workers)
        # As torchrun starts a worker: in a session of its own, with the same standard input.
        setsid sh -c 'echo $$ >"$0/worker"; cat >/dev/null; echo ended >"$0/worker"' "$here" <&0 >/dev/null 2>&1 &
        ;;
esac

echo "{\"type\": \"start\", \"total_steps\": $total, \"processes\": 1}"
while [ "$step" -lt "$total" ]; do
    sleep 0.02
    step=$((step + 1))
    if [ "$mode" = diverging ] && [ "$step" = 4 ]; then
        echo '{"type": "diverged", "step": 4, "loss": "nan"}'
        exit 1
    fi
    echo "{\"type\": \"step\", \"step\": $step, \"total_steps\": $total, \"loss\": 0.5, \"tokens\": 100, \"seconds\": 0.02, \"more\": {\"learning_rate\": 0.1}}"
    if [ $((step % $(value checkpoint_steps))) = 0 ] || [ "$step" = "$total" ]; then
        folder=$(value checkpoints)/checkpoint-$step
        mkdir -p "$folder"
        echo "{\"type\": \"checkpoint\", \"step\": $step, \"path\": \"$folder\"}"
    fi
done
[ "$mode" = lying ] || cp -r "$here/adapter" "$(value adapter)"
echo "{\"type\": \"done\", \"steps\": $step}"
