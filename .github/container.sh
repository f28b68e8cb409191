#!/bin/sh
# Builds the image of Dockerfile with a program in it, and asks it as a client would: `make container`.
set -eu

docker="${DOCKER:-docker}"
image=lmc-check
server=lmc-check-server
url=http://127.0.0.1:8437
key=$(openssl rand -hex 24)
answers=$(mktemp -d)

end() {
    "$docker" rm --force "$server" > /dev/null 2>&1 || true
    rm -r "$answers"
}
trap end EXIT

"$docker" build --build-arg PROGRAM=examples/triage/triage.lmp --tag "$image" .
"$docker" run --rm --entrypoint lmc "$image" --version

# A script answers in the place of a model.
printf '{"rules": [{"match": "Which queue", "answer": "calm"}, {"match": "", "answer": "login"}]}' \
    > "$answers/all.json"
chmod -R a+rX "$answers"
"$docker" run --detach --name "$server" --publish 127.0.0.1:8437:8000 \
    --env LMC_SERVE_KEYS="check:$key" --volume "$answers:/answers:ro" \
    "$image" --model scripted//answers/all.json

for _ in $(seq 60); do
    if curl --silent --fail "$url/health/ready"; then break; fi
    sleep 1
done
ask() {
    curl --silent --show-error --fail "$@" --header "Content-Type: application/json" \
        --data '{"message": "I cannot log in."}' "$url/run/main"
}
if ask; then echo "it answers without a key"; exit 1; fi
ask --header "Authorization: Bearer $key" | grep '"desk": *"login"'

"$docker" stop --time 20 "$server"
test "$("$docker" inspect --format '{{.State.ExitCode}}' "$server")" = 0
