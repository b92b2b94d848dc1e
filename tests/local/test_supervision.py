"""What the supervisor hands down to its programs."""

from shared.local.supervision import inherited


def test_supervisor_keeps_no_setting_of_the_call_that_started_it() -> None:
    caller = {
        "PATH": "/bin",
        "LIPSTAGE_FAULTS": "infer.work=kill",
        "KAFKA_BOOTSTRAP_SERVERS": "b:1",
        "OMP_NUM_THREADS": "2",
    }
    secrets = {"AWS_SECRET_ACCESS_KEY": "s", "LIPSTAGE_CACHE_KEY": "k"}
    assert inherited(caller | secrets) == {"PATH": "/bin"} | secrets
