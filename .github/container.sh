#!/bin/sh
# Builds the image of Dockerfile with a program in it, and asks it as a client would: `make container`.
set -eu

docker="${DOCKER:-docker}"
image=lmc-check
server=lmc-check-server
jobs=lmc-check-jobs
url=http://127.0.0.1:8437
key=$(openssl rand -hex 24)
answers=$(mktemp -d)
# Podman's own format of images has no HEALTHCHECK.
export BUILDAH_FORMAT=docker

end() {
    status=$?
    if test "$status" != 0; then "$docker" logs "$server" || true; fi
    "$docker" rm --force "$server" > /dev/null 2>&1 || true
    "$docker" volume rm --force "$jobs" > /dev/null 2>&1 || true
    rm -r "$answers"
    exit "$status"
}
trap end EXIT

fail() {
    echo "container: $1" >&2
    exit 1
}

"$docker" build --build-arg PROGRAM=examples/triage/triage.lmp --tag "$image" .
if "$docker" build .; then fail "it is built without a program"; fi
"$docker" run --rm --entrypoint lmc "$image" --version
if "$docker" run --rm "$image" > /dev/null 2>&1; then fail "it starts without keys"; fi

# A script answers in the place of a model.
printf '{"rules": [{"match": "Which queue", "answer": "calm"}, {"match": "", "answer": "login"}]}' \
    > "$answers/all.json"
chmod -R a+rX "$answers"

# With as few rights as docs/howto/serve.md names.
start() {
    "$docker" run --detach --name "$server" --publish 127.0.0.1:8437:8000 \
        --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
        --env LMC_SERVE_KEYS="check:$key" --volume "$jobs:/data" --volume "$answers:/answers:ro" \
        "$image" --model scripted//answers/all.json
    for _ in $(seq 60); do
        if curl --silent --fail "$url/health/ready"; then return; fi
        sleep 1
    done
    fail "it is not ready"
}
ask() {
    path=$1
    shift
    curl --silent --show-error --fail --header "Content-Type: application/json" "$@" "$url$path"
}
one='{"message": "I cannot log in."}'
auth="Authorization: Bearer $key"

start
test "$("$docker" exec "$server" id -u)" = 10001 || fail "it has another user"
if "$docker" exec "$server" touch /programs/new 2> /dev/null; then fail "its program can be changed"; fi
if ask /run/main --data "$one"; then fail "it answers without a key"; fi
ask /run/main --header "$auth" --data "$one" | grep '"desk": *"login"'

# Docker asks for the health of a container by itself. Podman leaves that to systemd.
healthy() {
    case "$docker" in
        *podman*) "$docker" healthcheck run "$server" ;;
        *) test "$("$docker" inspect --format '{{.State.Health.Status}}' "$server")" = healthy ;;
    esac
}
for _ in $(seq 30); do
    if healthy; then break; fi
    sleep 1
done
healthy || fail "its health check fails"

# A job that was accepted goes on in another container with the same volume.
rows=$(seq -f '{"message": "Message %.0f"}' 2000 | paste -sd , -)
ask /jobs/main --header "$auth" --data "{\"rows\": [$rows]}" > "$answers/job.json"
id=$(sed 's/.*"id": *"\([^"]*\)".*/\1/' "$answers/job.json")
"$docker" kill --signal KILL "$server"
"$docker" rm "$server"
start
for _ in $(seq 60); do
    job=$(ask "/jobs/$id" --header "$auth")
    case "$job" in *'"done"'*) break ;; esac
    sleep 1
done
echo "$job" | grep '"succeeded": *2000'

"$docker" stop -t 20 "$server"
test "$("$docker" inspect --format '{{.State.ExitCode}}' "$server")" = 0 || fail "SIGTERM does not end it"
