"""Files come in by page and API, the worker imports them, and they can be taken back."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import text

from crm_core.database import transaction
from serving import import_jobs, security
from tests.serving.conftest import NOON, PEOPLE

HTML = {"accept": "text/html"}
ACCOUNTS = ("accounts.csv", b"id,name\nn1,Nova\nn2,\n", "text/csv")


def work(app, engine):
    """Do what the worker does, which is not bound by row-level security."""
    import_jobs.work(engine, app.state.settings, now=lambda: NOON)


def one(engine, sql):
    with transaction(engine) as session:
        return session.execute(text(sql)).scalar()


def token_of(page):
    return page.text.split('name="csrf_token" value="', 1)[1].split('"', 1)[0]


class TestTheApi:
    def test_imports_a_file_and_takes_it_back(self, app, engine, signed_in):
        client = signed_in("admin")
        answer = client.post("/api/v1/imports", files={"files": ACCOUNTS})
        assert answer.status_code == 202, answer.text
        where = answer.headers["location"]
        assert client.get(where).json()["status"] == "queued"
        work(app, engine)
        batch = client.get(where).json()
        assert batch["status"] == "committed", batch["error"]
        assert batch["counts"]["accounts"]["inserted"] == 1
        assert batch["reconciliation"]["agrees"]
        rejected = client.get(f"{where}/rejections").json()["items"]
        assert [(row["line"], row["table"]) for row in rejected] == [(3, "accounts")]
        assert not import_jobs.folder_of(app.state.settings, batch["id"]).exists()

        assert client.post(f"{where}/rollback").status_code == 202
        assert client.post(f"{where}/rollback").status_code == 409
        work(app, engine)
        batch = client.get(where).json()
        assert (batch["status"], batch["undone"]["removed"]) == ("rolled_back", {"accounts": 1})
        assert one(engine, "select count(*) from accounts where id = 'n1'") == 0
        actions = one(engine, "select string_agg(action, ', ' order by id) from audit_log "
                              "where table_name = 'import_batches'")  # fmt: skip
        assert actions == "import, commit, ask for roll back, roll back"
        for action in ("commit", "roll back"):
            actor = f"select actor from audit_log where action = '{action}'"
            assert one(engine, actor) == "admin"

    def test_refuses_what_is_no_file_of_a_table(self, signed_in):
        client = signed_in("admin")
        for name in ("../x.exe", "run.sh", ".csv"):
            answer = client.post("/api/v1/imports", files={"files": (name, b"id\n", "text/csv")})
            assert answer.status_code == 422, name
        assert client.post("/api/v1/imports").status_code == 422
        unknown = {"mapping": "nobody's"}
        answer = client.post("/api/v1/imports", files={"files": ACCOUNTS}, data=unknown)
        assert answer.status_code == 422
        assert client.get("/api/v1/imports/99").status_code == 404

    def test_a_name_never_leaves_the_folder_of_the_upload(self, app, signed_in):
        sent = {"files": ("../../../accounts.csv", b"id,name\nn1,Nova\n", "text/csv")}
        number = signed_in("admin").post("/api/v1/imports", files=sent).json()["id"]
        folder = import_jobs.folder_of(app.state.settings, number)
        assert [file.name for file in folder.iterdir()] == ["accounts.csv"]

    def test_says_why_an_import_failed(self, app, engine, signed_in):
        client = signed_in("admin")
        sent = {"files": ("accounts.csv", b"id\nn1\n", "text/csv")}
        where = client.post("/api/v1/imports", files=sent).headers["location"]
        work(app, engine)
        batch = client.get(where).json()
        assert batch["status"] == "failed"
        assert "has no column 'name'" in batch["error"]

    @pytest.mark.parametrize("user", sorted(set(PEOPLE) - {"admin"}))
    def test_is_for_admins_and_sales_ops_only(self, user, signed_in):
        client = signed_in(user)
        assert client.post("/api/v1/imports", files={"files": ACCOUNTS}).status_code == 403
        for path in ("/api/v1/imports", "/imports", "/api/v1/imports/1", "/imports/1"):
            assert client.get(path).status_code == 403, path
        for path in ("/api/v1/imports/1/rollback", "/imports/1/rollback", "/imports/1/carry-out"):
            assert client.post(path).status_code == 403, path

    def test_refuses_a_body_beyond_the_limit(self, signed_in, monkeypatch):
        monkeypatch.setattr(security, "LARGEST_UPLOAD", 3_000_000)
        client = signed_in("admin")
        for size, status in ((2_000_000, 202), (4_000_000, 413)):
            sent = {"files": ("accounts.csv", b"x" * size, "text/csv")}
            assert client.post("/api/v1/imports", files=sent).status_code == status


class TestThePages:
    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_walk_from_the_check_to_the_roll_back(self, app, engine, signed_in, language):
        client = signed_in("admin")
        del client.headers["x-csrf-token"]
        page = client.get(f"/imports?lang={language}", headers=HTML)
        assert page.status_code == 200
        form = {"csrf_token": token_of(page), "dry_run": "true"}
        assert client.post("/imports", files={"files": ACCOUNTS}).status_code == 403
        sent = client.post("/imports", files={"files": ACCOUNTS}, data=form)
        assert sent.status_code == 303
        where = sent.headers["location"]
        assert client.get(where, headers=HTML).headers["refresh"] == "2"
        work(app, engine)
        page = client.get(where, headers=HTML)
        assert "refresh" not in page.headers
        assert f"{where}/carry-out" in page.text
        client.post(f"{where}/carry-out", data={"csrf_token": token_of(page)})
        work(app, engine)
        page = client.get(where, headers=HTML)
        assert f"{where}/rollback" in page.text
        assert "is missing" in page.text
        client.post(f"{where}/rollback", data={"csrf_token": token_of(page)})
        work(app, engine)
        page = client.get(where, headers=HTML)
        assert {"en": "1 rows removed", "zh": "删除 1 行"}[language] in page.text
        assert f"{where}/rollback" not in page.text


class TestForgetting:
    def test_removes_old_files_and_spares_what_is_needed(self, app, engine, signed_in):
        admin = signed_in("admin")
        files = {"files": ("accounts.csv", b"id,name\nn,New\n")}
        made = [
            admin.post("/api/v1/imports", files=files, data={"dry_run": "true"}).json()["id"]
            for _ in range(2)
        ]
        work(app, engine)
        admin.post("/api/v1/imports", files=files)  # waits for the worker
        uploads = app.state.settings.home / "uploads"
        (uploads / f"{made[0]}-rejected").mkdir(exist_ok=True)
        (uploads / "keep me").mkdir()
        long_ago = NOON.timestamp() - 40 * 86_400
        for folder in uploads.iterdir():
            os.utime(folder, (long_ago, long_ago))
        os.utime(uploads / str(made[1]), (NOON.timestamp() - 29 * 86_400,) * 2)
        assert import_jobs.forget_uploads(engine, app.state.settings, now=NOON) >= 2
        left = {folder.name for folder in uploads.iterdir()}
        assert left == {str(made[1]), str(made[1] + 1), "keep me"}
        gone = admin.post(f"/imports/{made[0]}/carry-out")
        assert gone.status_code == 409
        assert "upload them again" in gone.text
        assert admin.post(f"/imports/{made[1]}/carry-out").status_code == 303


class TestRoles:
    """An upload gives nobody a role that its sender could not give by hand."""

    USERS = (
        b"id,name,email,role\nops,Ops,ops@acme.example,admin\nfresh,F,f@x.y,admin\n"
        b"cfo,C,c@x.y,finance\nnewbie,N,n@x.y,rep\nrep,Rep Two,rep@acme.example,rep\n"
    )

    def bring(self, app, engine, client):
        answer = client.post("/api/v1/imports", files={"files": ("users.csv", self.USERS)})
        assert answer.status_code == 202
        work(app, engine)
        with transaction(engine) as session:
            return dict(session.execute(text("select id, role from users")).all())

    def test_are_given_by_administrators_only(self, app, engine, signed_in):
        with transaction(engine) as session:
            session.execute(text("update users set role = 'sales_ops' where id = 'admin'"))
            session.execute(
                text(
                    "insert into users (id, name, email, role)"
                    " values ('ops', 'Ops', 'ops@acme.example', 'sales_ops')"
                )
            )
        ops = signed_in("admin")  # sales operations by now
        roles = self.bring(app, engine, ops)
        assert roles["ops"] == "sales_ops"
        assert not {"fresh", "cfo"} & set(roles)
        assert roles["newbie"] == "rep"
        rejected = ops.get("/api/v1/imports/1/rejections").json()
        assert "only an administrator" in str(rejected)
        assert one(engine, "select name from users where id = 'rep'") == "Rep Two"

    def test_are_given_by_an_administrator(self, app, engine, signed_in):
        roles = self.bring(app, engine, signed_in("admin"))
        assert (roles["fresh"], roles["cfo"], roles["ops"]) == ("admin", "finance", "admin")
