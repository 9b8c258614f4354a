"""The notifier as processes: from an answer in Kafka to a received webhook and a case over HTTP."""

import asyncio

import httpx
from standardwebhooks import Webhook

from shared.events.envelope import new_traceparent
from tests.integration.notifier.desk import SECRET
from tests.integration.notifier.receiver import answer, hang
from tests.integration.notifier.shop import Shop, running


class TestTheProcess:
    async def test_turns_an_answer_into_a_case_and_a_webhook(self, shop: Shop) -> None:
        service = shop.service()
        traceparent = new_traceparent()
        async with running(service):
            await shop.produce([shop.desk.standing(tier="Gold")])
            await shop.produce([shop.desk.submitted(2, comment="Canary, it came late")], traceparent)
            await shop.receiver.wait_for(1, seconds=30)
            [hit] = shop.receiver.hits
            payload = Webhook(SECRET).verify(hit.body, hit.headers)
            case = await shop.get(service, f"/v1/cases/{payload['data']['case']['id']}")
            async with asyncio.timeout(10):
                while case["deliveries"][0]["state"] != "sent" or await shop.desk.emitted():
                    await asyncio.sleep(0.05)
                    case = await shop.get(service, f"/v1/cases/{case['id']}")
            async with httpx.AsyncClient(trust_env=False, verify=False) as client:
                metrics = (await client.get(f"{service.url}/metrics")).text
            exit_code = await service.stop()

        assert payload["data"]["answer"]["comment"] == "Canary, it came late"
        assert (case["status"], case["customer"]["id"]) == ("open", "c-1")
        assert hit.headers["traceparent"] == traceparent
        assert exit_code == 0
        log = service.log.read_text()
        for fact in ("case.opened", "alert.sent"):
            [line] = [line for line in log.splitlines() if f'"{fact}"' in line]
            assert traceparent.split("-")[1] in line, "one word must lead from the answer to the alert"
        assert "Canary" not in log
        assert 'closeloop_deliveries_total{channel="webhook",result="sent"} 1.0' in metrics
        assert 'closeloop_pipeline_latency_seconds_count{stage="notified"} 1.0' in metrics
        assert 'closeloop_cases_opened_total{priority="normal"} 1.0' in metrics

    async def test_killed_while_sending_sends_again_under_the_same_id(self, shop: Shop) -> None:
        shop.receiver.script = [hang, answer(200)]
        first, second = (
            shop.service(NOTIFIER_SEND_TIMEOUT_SECONDS="60", NOTIFIER_LEASE_SECONDS="65"),
            shop.service(),
        )
        await first.start()
        await shop.produce([shop.desk.submitted(2)])
        await shop.receiver.wait_for(1, seconds=30)
        await first.kill()
        async with shop.desk.database.transaction() as session:
            # A minute in a moment: the lease of the killed process runs out.
            await session.exec_driver_sql(
                "UPDATE notifier.deliveries SET next_at = now() WHERE lease_token IS NOT NULL"
            )
        async with running(second):
            await shop.receiver.wait_for(2, seconds=30)
            async with asyncio.timeout(10):
                while (await shop.desk.deliveries())[0]["state"] != "sent":
                    await asyncio.sleep(0.05)

        assert len({hit.id for hit in shop.receiver.hits}) == 1
        assert len(await shop.desk.cases()) == 1

    async def test_two_replicas_killed_at_random_lose_and_double_no_case(self, shop: Shop) -> None:
        answers = [
            shop.desk.submitted(n % 7, response_id=f"r{n}", customer=f"c{n % 150}") for n in range(300)
        ]
        replicas = [shop.service(), shop.service()]
        await asyncio.gather(*(replica.start() for replica in replicas))
        for n in range(0, 300, 60):
            await shop.produce(answers[n : n + 60] + answers[max(0, n - 20) : n])
            if n in (60, 180):
                victim = replicas[n // 180]
                await victim.kill()
                await victim.start()
        async with asyncio.timeout(60):
            while len(shop.receiver.hits) < 150 or any(
                d["state"] != "sent" for d in await shop.desk.deliveries()
            ):
                await asyncio.sleep(0.1)
            while len(await shop.desk.rows("SELECT 1 FROM notifier.case_answers WHERE store = :store")) < 300:
                await asyncio.sleep(0.1)
        await asyncio.gather(*(replica.stop() for replica in replicas))

        assert len(await shop.desk.cases()) == 150
        assert len(await shop.desk.deliveries()) == 150
        assert len({hit.id for hit in shop.receiver.hits}) == 150
