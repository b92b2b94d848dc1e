"""A slow endpoint gets its share of the threads, and no more."""

import threading

from stages.gateway.webhooks.keyed_pool import KeyedPool

LIMIT_S = 30.0


def test_work_of_one_key_holds_back_itself_alone() -> None:
    pool, release, done = KeyedPool(3, 2, 2), threading.Event(), threading.Event()
    order: list[str] = []

    def slow(name: str) -> None:
        release.wait(LIMIT_S)
        order.append(name)

    taken = [pool.submit("slow", lambda n=n: slow(n)) for n in "abcde"]
    assert taken == [True, True, True, True, False], "two run, two wait"
    assert pool.submit("fast", done.set)
    assert done.wait(LIMIT_S), "the third thread is not the slow endpoint's"
    release.set()
    last = threading.Event()
    while not pool.submit("slow", last.set):
        pass
    assert last.wait(LIMIT_S)
    pool.close()
    assert sorted(order) == list("abcd")


def test_what_waits_is_not_begun_once_the_pool_closes() -> None:
    pool, begun, release = KeyedPool(2, 1, 10), threading.Event(), threading.Event()
    ran: list[int] = []

    def first() -> None:
        begun.set()
        release.wait(LIMIT_S)

    pool.submit("one", first)
    pool.submit("one", lambda: ran.append(1))
    assert begun.wait(LIMIT_S)
    closing = threading.Thread(target=pool.close)
    closing.start()
    while pool.submit("one", lambda: None):
        if not pool._waiting.get("one") or len(pool._waiting["one"]) > 5:
            break
    release.set()
    closing.join(LIMIT_S)
    assert not closing.is_alive()
