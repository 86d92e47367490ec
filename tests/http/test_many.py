"""500 open sessions, 20 of them calling: everybody gets their own, nobody else anything."""

import concurrent.futures

from by_hand import Sse, call
from processes import fake


def test_500_open_sessions_with_20_of_them_calling_stay_correct(start_router):
    running = start_router({"fake": fake()})
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        clients = list(pool.map(lambda _: Sse(running.url), range(500)))

        def talk(number):
            client = clients[number * 25]
            for id in range(50):
                client.post(call(id, "fake__echo", text=f"{number} {id}"))
            answers = [client.get() for _ in range(50)]
            return {answer["id"]: answer["result"]["content"][0]["text"] for answer in answers}
        for number, answers in enumerate(pool.map(talk, range(20))):
            assert answers == {id: f"{number} {id}" for id in range(50)}
        news = '{"jsonrpc": "2.0", "method": "notifications/news"}'
        clients[0].post(call(99, "fake__say", line=news))
        assert sorted(str(clients[0].get().get("method")) for _ in range(2)) == [
            "None", "notifications/news"]
        for client in clients[1:]:
            client.post({"method": "notifications/initialized"})
            assert client.get()["method"] == "notifications/news"
        list(pool.map(lambda client: client.close(), clients))
    assert running.stop() == 0
