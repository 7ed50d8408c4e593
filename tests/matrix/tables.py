"""Who may do what, through each door. `yes` is done; 401 sign in first; 403 your role does not allow it; 404 not yours.

`stranger` administers another project, `superuser` is a member of none; viewer, operator and admin are members.
"""

from __future__ import annotations

PEOPLE = ["nobody", "stranger", "superuser", "viewer", "operator", "admin"]

# Below /api/v1/; P is projects/<project>.
API = """
verb    address                                              nobody stranger superuser viewer operator admin
get     me/                                                     401      yes       yes    yes      yes   yes
post    me/password/                                            401      yes       yes    yes      yes   yes
get     me/sessions/                                            401      yes       yes    yes      yes   yes
delete  me/sessions/<pk>/                                       401      409       409    409      409   409
post    me/sessions/end-others/                                 401      yes       yes    yes      yes   yes
get     me/second-factor/                                       401      yes       yes    yes      yes   yes
get     me/identities/                                          401      yes       yes    yes      yes   yes
post    me/identities/<pk>/unlink/                              401      404       404    409      404   404
post    me/join/                                                401      yes       yes    409      409   409
get     connectors/                                             401      yes       yes    yes      yes   yes
get     connectors/<key>/                                       401      yes       yes    yes      yes   yes
get     source-templates/                                       401      yes       yes    yes      yes   yes
get     tokens/                                                 401      yes       yes    yes      yes   yes
post    tokens/                                                 401      yes       yes    yes      yes   yes
get     tokens/<pk>/                                            401      404       404    yes      404   404
post    tokens/<pk>/revoke/                                     401      404       404    yes      404   404
get     users/                                                  401      403       yes    403      403   403
post    users/                                                  401      403       yes    403      403   403
get     users/<username>/                                       401      403       yes    403      403   403
patch   users/<username>/                                       401      403       yes    403      403   403
post    users/<username>/unlock/                                401      403       yes    403      403   403
post    users/<username>/password/                              401      403       yes    403      403   403
delete  users/<username>/second-factor/                         401      403       409    403      403   403
post    users/<username>/end-sessions/                          401      403       yes    403      403   403
get     events/                                                 401      yes       yes    yes      yes   yes
get     events/<pk>/                                            401      404       404    yes      yes   yes
get     events/export/                                          401      yes       yes    yes      yes   yes
get     events/verify/                                          401      403       yes    403      403   403
get     projects/                                               401      yes       yes    yes      yes   yes
post    projects/                                               401      403       yes    403      403   403
get     projects/<slug>/                                        401      404       404    yes      yes   yes
get     P/events/                                               401      404       404    yes      yes   yes
get     P/events/export/                                        401      404       404    yes      yes   yes
get     P/events/<pk>/                                          401      404       404    yes      yes   yes
get     P/status/                                               401      404       404    yes      yes   yes

get     P/members/                                              401      404       404    yes      yes   yes
get     P/members/<username>/                                   401      404       404    yes      yes   yes
put     P/members/<username>/                                   401      404       404    403      403   yes
delete  P/members/<username>/                                   401      404       404    403      403   yes
get     P/invitations/                                          401      404       404    403      403   yes
post    P/invitations/                                          401      404       404    403      403   yes
get     P/invitations/<pk>/                                     401      404       404    403      403   yes
post    P/invitations/<pk>/withdraw/                            401      404       404    403      403   yes

get     P/credentials/                                          401      404       404    yes      yes   yes
get     P/credentials/<slug>/                                   401      404       404    yes      yes   yes
post    P/credentials/                                          401      404       404    403      403   yes
patch   P/credentials/<slug>/                                   401      404       404    403      403   yes
delete  P/credentials/<slug>/                                   401      404       404    403      403   409

get     P/sources/                                              401      404       404    yes      yes   yes
get     P/sources/<slug>/                                       401      404       404    yes      yes   yes
get     P/sources/<slug>/card/                                  401      404       404    yes      yes   yes
get     P/cards/                                                401      404       404    yes      yes   yes
get     P/sources/<slug>/checks/                                401      404       404    yes      yes   yes
get     P/sources/<slug>/health/                                401      404       404    yes      yes   yes
get     P/sources/<slug>/cost/                                  401      404       404    yes      yes   yes
put     P/sources/<slug>/cost/                                  401      404       404    403      403   yes
get     P/sources/<slug>/impact/                                401      404       404    yes      yes   yes
get     P/datasets/<slug>/upstream/                             401      404       404    yes      yes   yes
get     P/sources/<source>/history/                             401      404       404    yes      yes   yes
get     P/sources/<source>/history/export/                      401      404       404    yes      yes   yes
get     P/history/                                              401      404       404    yes      yes   yes
get     P/history/export/                                       401      404       404    yes      yes   yes
get     P/sources/<slug>/inbox/                                 401      404       404    409      409   409
post    P/sources/<slug>/inbox/secret/                          401      404       404    403      403   409
delete  P/sources/<slug>/inbox/secret/                          401      404       404    403      403   409
get     P/sources/<slug>/grant/                                 401      404       404    409      409   409
post    P/sources/<slug>/grant/                                 401      404       404    403      403   409
delete  P/sources/<slug>/grant/                                 401      404       404    403      403   409
post    P/sources/<slug>/grant/entered/                         401      404       404    403      403   409
get     P/sources/<slug>/files/                                 401      404       404    yes      yes   yes
get     P/sources/<slug>/drift/                                 401      404       404    yes      yes   yes
post    P/sources/<slug>/test/                                  401      404       404    403      yes   yes
post    P/sources/<slug>/discover/                              401      404       404    403      yes   yes
post    P/sources/<slug>/preflight/                             401      404       404    403      yes   yes
post    P/sources/                                              401      404       404    403      403   yes
post    P/sources/detect/                                       401      404       404    403      403   yes
post    P/sources/try/                                          401      404       404    403      403   yes
post    P/sources/offers/                                       401      404       404    403      403   yes
post    P/sources/sample/                                       401      404       404    403      403   yes
patch   P/sources/<slug>/                                       401      404       404    403      403   yes
delete  P/sources/<slug>/                                       401      404       404    403      403   409

get     P/sources/<source>/streams/                             401      404       404    yes      yes   yes
get     P/sources/<source>/streams/<name>/                      401      404       404    yes      yes   yes
get     P/sources/<source>/streams/<name>/preview/              401      404       404    yes      yes   yes
get     P/sources/<source>/streams/<name>/lag/                  401      404       404    409      409   409
get     P/sources/<source>/streams/<name>/schemas/              401      404       404    yes      yes   yes
get     P/sources/<source>/streams/<name>/drift/                401      404       404    yes      yes   yes
post    P/sources/<source>/streams/<name>/drift/seen/           401      404       404    403      yes   yes
post    P/sources/<source>/streams/<name>/drift/<drift>/accept/ 401      404       404    403      yes   yes
post    P/sources/<source>/streams/                             401      404       404    403      403   yes
post    P/sources/<source>/streams/<name>/try/                  401      404       404    403      403   yes
post    P/sources/<source>/streams/<name>/read-so/              401      404       404    403      403   yes
patch   P/sources/<source>/streams/<name>/                      401      404       404    403      403   yes
delete  P/sources/<source>/streams/<name>/                      401      404       404    403      403   409
get     P/sources/<source>/streams/<stream>/files/              401      404       404    yes      yes   yes
get     P/sources/<source>/streams/<stream>/files/<id>/         401      404       404    yes      yes   yes
post    P/sources/<source>/streams/<stream>/files/<id>/ignore/  401      404       404    403      yes   yes

get     P/pipelines/                                            401      404       404    yes      yes   yes
get     P/pipelines/<slug>/                                     401      404       404    yes      yes   yes
get     P/sources/<source>/uploads/                             401      404       404    yes      yes   yes
get     P/sources/<source>/uploads/<name>/                      401      404       404    yes      yes   yes
put     P/sources/<source>/uploads/<name>/                      401      404       404    403      409   409
delete  P/sources/<source>/uploads/<name>/                      401      404       404    403      403   yes
get     P/pipelines/document-schema/                            401      404       404    yes      yes   yes
post    P/pipelines/validate/                                   401      404       404    yes      yes   yes
get     P/pipelines/<slug>/export/                              401      404       404    yes      yes   yes
get     P/pipelines/<slug>/versions/                            401      404       404    yes      yes   yes
get     P/pipelines/<slug>/versions/<number>/                   401      404       404    yes      yes   yes
get     P/pipelines/<slug>/files/                               401      404       404    yes      yes   yes
get     P/pipelines/<slug>/runs/                                401      404       404    yes      yes   yes
post    P/pipelines/                                            401      404       404    403      yes   yes
post    P/pipelines/apply/                                      401      404       404    403      yes   yes
put     P/pipelines/<slug>/draft/                               401      404       404    403      yes   yes
post    P/pipelines/<slug>/plan/                                401      404       404    403      yes   yes
post    P/pipelines/<slug>/runs/                                401      404       404    403      yes   yes
post    P/pipelines/<slug>/clone/                               401      404       404    403      yes   yes
post    P/pipelines/<slug>/pause/                               401      404       404    403      yes   yes
post    P/pipelines/<slug>/resume/                              401      404       404    403      409   409
post    P/pipelines/<slug>/publish/                             401      404       404    403      403   yes
delete  P/pipelines/<slug>/                                     401      404       404    403      403   409

get     P/pipelines/<pipeline>/hooks/                           401      404       404    yes      yes   yes
get     P/pipelines/<pipeline>/hooks/<pk>/                      401      404       404    yes      yes   yes
post    P/pipelines/<pipeline>/hooks/                           401      404       404    403      403   yes
patch   P/pipelines/<pipeline>/hooks/<pk>/                      401      404       404    403      403   yes
delete  P/pipelines/<pipeline>/hooks/<pk>/                      401      404       404    403      403   yes
post    P/pipelines/<pipeline>/hooks/<pk>/secrets/              401      404       404    403      403   yes
delete  P/pipelines/<pipeline>/hooks/<pk>/secrets/<secret>/     401      404       404    403      403   409
get     P/pipelines/<pipeline>/backfills/                       401      404       404    yes      yes   yes
get     P/pipelines/<pipeline>/backfills/<pk>/                  401      404       404    yes      yes   yes
post    P/pipelines/<pipeline>/backfills/                       401      404       404    403      yes   yes
post    P/pipelines/<pipeline>/backfills/preview/               401      404       404    403      yes   yes
post    P/pipelines/<pipeline>/backfills/<pk>/pause/            401      404       404    403      409   409
post    P/pipelines/<pipeline>/backfills/<pk>/resume/           401      404       404    403      409   409
post    P/pipelines/<pipeline>/backfills/<pk>/cancel/           401      404       404    403      409   409
get     P/schedules/                                            401      404       404    yes      yes   yes
post    P/schedules/preview/                                    401      404       404    yes      yes   yes
get     P/pipelines/<slug>/schedule/                            401      404       404    yes      yes   yes
put     P/pipelines/<slug>/schedule/                            401      404       404    403      yes   yes
get     P/pipelines/<slug>/retries/                             401      404       404    yes      yes   yes
put     P/pipelines/<slug>/retries/                             401      404       404    403      yes   yes
post    P/pipelines/<slug>/schedule/enable/                     401      404       404    403      403   yes
post    P/pipelines/<slug>/schedule/disable/                    401      404       404    403      403   yes

get     P/runs/                                                 401      404       404    yes      yes   yes
get     P/runs/<pk>/                                            401      404       404    yes      yes   yes
get     P/runs/<pk>/steps/                                      401      404       404    yes      yes   yes
post    P/runs/<pk>/cancel/                                     401      404       404    403      yes   yes
post    P/runs/<pk>/retry/                                      401      404       404    403      yes   yes
get     P/runs/<pk>/logs/                                       401      404       404    yes      yes   yes
get     P/runs/<pk>/logs/file/                                  401      404       404    yes      yes   yes
post    P/runs/<pk>/pause/                                      401      404       404    403      yes   yes
post    P/runs/<pk>/resume/                                     401      404       404    403      409   409
post    P/runs/<pk>/decide/                                     401      404       404    403      409   409
post    P/runs/<pk>/skip/                                       401      404       404    403      409   409
post    P/runs/<pk>/suggestions/<suggestion>/apply/             401      404       404    403      409   409

get     P/datasets/                                             401      404       404    yes      yes   yes
get     P/datasets/<slug>/                                      401      404       404    yes      yes   yes
get     P/datasets/<slug>/freshness/                            401      404       404    yes      yes   yes
put     P/datasets/<slug>/freshness/                            401      404       404    403      403   yes
delete  P/datasets/<slug>/freshness/                            401      404       404    403      403   yes
get     P/sources/<source>/streams/<name>/freshness/            401      404       404    yes      yes   yes
put     P/sources/<source>/streams/<name>/freshness/            401      404       404    403      403   yes
delete  P/sources/<source>/streams/<name>/freshness/            401      404       404    403      403   yes
get     P/freshness/                                            401      404       404    yes      yes   yes
get     P/datasets/<dataset>/snapshots/                         401      404       404    yes      yes   yes
get     P/datasets/<dataset>/snapshots/<number>/                401      404       404    yes      yes   yes
get     P/datasets/<dataset>/snapshots/<number>/preview/        401      404       404    yes      yes   yes
get     P/datasets/<dataset>/snapshots/<number>/download/       401      404       404    yes      yes   yes
get     P/queries/                                              401      404       404    yes      yes   yes
get     P/queries/<pk>/                                         401      404       404    yes      yes   yes
post    P/queries/                                              401      404       404    yes      yes   yes
post    P/queries/<pk>/cancel/                                  401      404       404    yes      403   yes
get     P/queries/<pk>/download/                                401      404       404    yes      yes   yes
get     P/saved-queries/                                        401      404       404    yes      yes   yes
get     P/saved-queries/<slug>/                                 401      404       404    yes      yes   yes
post    P/saved-queries/                                        401      404       404    403      yes   yes
patch   P/saved-queries/<slug>/                                 401      404       404    403      yes   yes
delete  P/saved-queries/<slug>/                                 401      404       404    403      yes   yes
get     P/checks/                                               401      404       404    yes      yes   yes
get     P/checks/<pk>/                                          401      404       404    yes      yes   yes
"""

# The pages of the console by their names; signed out, each leads to the sign-in page.
# Flower shows the work of all projects, so nobody may see it here but the superuser, for whom none runs.
# The same with `remember`: that changes what later runs do.
API_REMEMBERED = """
verb    operation                                               nobody   stranger  super  viewer  operator admin
post    P/sources/<source>/streams/<name>/drift/<drift>/accept/ 401      404       404    403      403   yes
post    P/runs/<pk>/decide/                                     401      404       404    403      403   409
"""
PAGES_REMEMBERED = """
verb    page             nobody       stranger  super  viewer  operator admin
post    stream-drift-accept sign-in   404       404    403      403   yes
post    run-decide       sign-in      404       404    403      403   yes
"""

PAGES = """
verb    page              nobody stranger superuser viewer operator admin
get     sign-in              yes      yes       yes    yes      yes   yes
post    sign-in              yes      yes       yes    yes      yes   yes
post    sign-out             yes      yes       yes    yes      yes   yes
get     flower           sign-in      403       404    403      403   403
get     flower-page      sign-in      403       404    403      403   403
post    flower-page      sign-in      403       404    403      403   403
get     root             sign-in      yes       yes    yes      yes   yes
get     sign-in-code     sign-in  sign-in   sign-in sign-in sign-in sign-in
post    sign-in-code     sign-in  sign-in   sign-in sign-in sign-in sign-in
get     second-factor    sign-in      yes       yes    yes      yes   yes
post    second-factor    sign-in      422       422    422      422   422
get     oidc                 404      404       404    404      404   404
get     oidc-callback        404      404       404    404      404   404
post    identity-link    sign-in      404       404    404      404   404
post    identity-unlink  sign-in      404       404    yes      404   404
get     account          sign-in      yes       yes    yes      yes   yes
post    account          sign-in      422       422    422      422   422
post    session-end      sign-in      yes       yes    yes      yes   yes
post    sessions-end     sign-in      yes       yes    yes      yes   yes
get     people           sign-in      403       yes    403      403   403
post    people           sign-in      403       yes    403      403   403
get     person           sign-in      403       yes    403      403   403
post    person           sign-in      403       yes    403      403   403
post    person-active    sign-in      403       yes    403      403   403
post    person-unlock    sign-in      403       yes    403      403   403
post    person-factor    sign-in      403       yes    403      403   403
post    person-sessions  sign-in      403       yes    403      403   403
get     projects         sign-in      403       yes    403      403   403
post    projects         sign-in      403       yes    403      403   403
get     tokens           sign-in      yes       yes    yes      yes   yes
post    tokens           sign-in      yes       yes    yes      yes   yes
post    token-revoke     sign-in      404       404    yes      404   404
get     home             sign-in      404       404    yes      yes   yes
get     members          sign-in      404       404    yes      yes   yes
post    members          sign-in      404       404    403      403   yes
post    member-role      sign-in      404       404    403      403   yes
post    member-remove    sign-in      404       404    403      403   yes
post    invitation-withdraw sign-in   404       404    403      403   yes
get     join                 yes      yes       yes    yes      yes   yes
post    join                 yes      yes       yes    422      422   422
get     search           sign-in      404       404    yes      yes   yes
get     audit            sign-in      404       404    yes      yes   yes
get     event            sign-in      404       404    yes      yes   yes
get     audit-export     sign-in      404       404    yes      yes   yes
get     platform-audit   sign-in      403       yes    403      403   403
get     platform-audit-export sign-in 403       yes    403      403   403
get     platform-event   sign-in      403       404    403      403   403
get     audit-verify     sign-in      403       yes    403      403   403
post    audit-verify     sign-in      403       yes    403      403   403
get     sources          sign-in      404       404    yes      yes   yes
get     source           sign-in      404       404    yes      yes   yes
post    source-test      sign-in      404       404    403      yes   yes
post    source-card      sign-in      404       404    403      yes   yes
get     history          sign-in      404       404    yes      yes   yes
get     history-export   sign-in      404       404    yes      yes   yes
get     source-cost      sign-in      404       404    yes      yes   yes
post    source-cost      sign-in      404       404    403      403   yes
get     source-impact    sign-in      404       404    yes      yes   yes
get     dataset-upstream sign-in      404       404    yes      yes   yes
get     source-history   sign-in      404       404    yes      yes   yes
get     source-history-export sign-in 404       404    yes      yes   yes
get     connectors       sign-in      404       404    yes      yes   yes
get     source-new       sign-in      404       404    403      403   yes
post    source-new       sign-in      404       404    403      403   yes
get     source-add       sign-in      404       404    403      403   yes
post    source-add       sign-in      404       404    403      403   yes
get     source-edit      sign-in      404       404    403      403   yes
post    source-edit      sign-in      404       404    403      403   yes
get     source-choose    sign-in      404       404    403      403   yes
post    source-choose    sign-in      404       404    403      403   yes
get     source-query     sign-in      404       404    403      403   yes
post    source-query     sign-in      404       404    403      403   yes
post    source-delete    sign-in      404       404    403      403   yes
post    source-upload-remove sign-in  404       404    403      403   yes
get     stream           sign-in      404       404    yes      yes   yes
post    stream           sign-in      404       404    403      403   yes
post    stream-try       sign-in      404       404    403      403   yes
post    stream-read-so   sign-in      404       404    403      403   yes
post    stream-delete    sign-in      404       404    403      403   yes
post    stream-drift-seen sign-in     404       404    403      yes   yes
post    stream-drift-accept sign-in   404       404    403      yes   yes
get     stream-preview   sign-in      404       404    yes      yes   yes
get     stream-lag       sign-in      404       404    yes      yes   yes
get     stream-files     sign-in      404       404    yes      yes   yes
post    source-inbox     sign-in      404       404    403      403   yes
post    source-connect   sign-in      404       404    403      403   yes
post    source-connect-entered sign-in 404      404    403      403   yes
get     oauth-callback   sign-in      409       409    409      409   409
post    stream-files     sign-in      404       404    403      yes   yes
get     pipelines        sign-in      404       404    yes      yes   yes
get     pipeline         sign-in      404       404    yes      yes   yes
get     pipeline-version sign-in      404       404    yes      yes   yes
get     pipeline-new     sign-in      404       404    403      yes   yes
post    pipeline-new     sign-in      404       404    403      yes   yes
get     pipeline-edit    sign-in      404       404    403      yes   yes
post    pipeline-edit    sign-in      404       404    403      yes   yes
post    pipeline-validate sign-in     404       404    yes      yes   yes
get     pipeline-files   sign-in      404       404    yes      yes   yes
get     pipeline-plan    sign-in      404       404    403      yes   yes
post    pipeline-run     sign-in      404       404    403      yes   yes
get     pipeline-clone   sign-in      404       404    403      yes   yes
post    pipeline-clone   sign-in      404       404    403      yes   yes
post    pipeline-pause   sign-in      404       404    403      yes   yes
post    pipeline-resume  sign-in      404       404    403      yes   yes
post    pipeline-delete  sign-in      404       404    403      403   yes
get     pipeline-schedule sign-in     404       404    403      yes   yes
post    pipeline-schedule sign-in     404       404    403      yes   yes
post    pipeline-schedule-switch sign-in 404    404    403      403   yes
get     pipeline-retries sign-in      404       404    403      yes   yes
post    pipeline-retries sign-in      404       404    403      yes   yes
post    retry-preview    sign-in      404       404    yes      yes   yes
post    schedule-preview sign-in      404       404    yes      yes   yes
get     pipeline-hooks   sign-in      404       404    yes      yes   yes
post    pipeline-hooks   sign-in      404       404    403      403   yes
get     pipeline-backfills sign-in    404       404    yes      yes   yes
post    pipeline-backfills sign-in    404       404    403      yes   yes
get     pipeline-backfill sign-in     404       404    yes      yes   yes
post    pipeline-backfill sign-in     404       404    403      yes   yes
get     runs             sign-in      404       404    yes      yes   yes
get     run              sign-in      404       404    yes      yes   yes
post    run-cancel       sign-in      404       404    403      yes   yes
post    run-retry        sign-in      404       404    403      yes   yes
get     run-log          sign-in      404       404    yes      yes   yes
get     run-log-file     sign-in      404       404    yes      yes   yes
get     run-figures      sign-in      404       404    yes      yes   yes
post    run-pause        sign-in      404       404    403      yes   yes
post    run-resume       sign-in      404       404    403      yes   yes
post    run-decide       sign-in      404       404    403      yes   yes
post    run-skip         sign-in      404       404    403      yes   yes
post    run-fix          sign-in      404       404    403      yes   yes
get     datasets         sign-in      404       404    yes      yes   yes
get     dataset          sign-in      404       404    yes      yes   yes
get     dataset-freshness sign-in     404       404    403      403   yes
post    dataset-freshness sign-in     404       404    403      403   yes
get     stream-freshness sign-in      404       404    403      403   yes
post    stream-freshness sign-in      404       404    403      403   yes
get     dataset-preview  sign-in      404       404    yes      yes   yes
get     dataset-download sign-in      404       404    yes      yes   yes
get     sql              sign-in      404       404    yes      yes   yes
get     sql-history      sign-in      404       404    yes      yes   yes
get     sql-saved        sign-in      404       404    yes      yes   yes
"""

# The commands that speak to a server, by the code they end with: 0 done, 2 nothing of that name, 3 not
# healthy (nobody works off the runs), 4 not allowed.
COMMANDS = """
command                                    nobody stranger superuser viewer operator admin
status                                          4        2         2      3        3     3
run orders                                      4        2         2      4        0     0
run orders --dry-run                            4        2         2      4        0     0
runs list                                       4        2         2      0        0     0
runs show SUCCEEDED                             4        2         2      0        0     0
runs cancel RUNNING                             4        2         2      4        0     0
runs retry CANCELLED                            4        2         2      4        0     0
runs logs SUCCEEDED                             4        2         2      0        0     0
runs pause SUCCEEDED                            4        2         2      4        1     1
runs resume SUCCEEDED                           4        2         2      4        1     1
runs decide SUCCEEDED stop                      4        2         2      4        1     1
runs decide SUCCEEDED continue --remember       4        2         2      4        4     1
runs skip RUNNING                               4        2         2      4        0     0
runs fix SUCCEEDED seed                         4        2         2      4        1     1
apply -f DOCUMENT                               4        2         2      4        0     0
apply -f DOCUMENT --publish                     4        2         2      4        4     0
files orders                                    4        2         2      0        0     0
run orders --files orders-2026-01.csv           4        2         2      4        0     0
export orders                                   4        2         2      0        0     0
clone orders COPY                               4        2         2      4        0     0
pause orders                                    4        2         2      4        0     0
resume orders                                   4        2         2      4        0     0
backfill orders --from=2025-12-01 --to=2025-12-03 --dry-run 4  2  2      4        0     0
backfills list orders                           4        2         2      0        0     0
backfills show orders BACKFILL                  4        2         2      0        0     0
backfills pause orders BACKFILL                 4        2         2      4        1     1
backfills resume orders BACKFILL                4        2         2      4        1     1
backfills cancel orders BACKFILL                4        2         2      4        1     1
hooks list orders                               4        2         2      0        0     0
hooks add orders NEW                            4        2         2      4        4     0
hooks rotate orders HOOK                        4        2         2      4        4     0
hooks remove orders HOOK                        4        2         2      4        4     0
schedules list                                  4        2         2      0        0     0
schedules show orders                           4        2         2      0        0     0
schedules preview DOCUMENT                      4        2         2      0        0     0
schedules on orders                             4        2         2      4        4     0
schedules off orders                            4        2         2      4        4     0
retries orders                                  4        2         2      0        0     0
sources list                                    4        2         2      0        0     0
sources add more --connector local_files --set path=DROP  4  2     2      4        4     0
sources detect /data/drop                       4        2         2      4        4     0
sources change drop --title Orders              4        2         2      4        4     0
sources templates                               4        0         0      0        0     0
sources connectors                              4        0         0      0        0     0
sources health drop                             4        2         2      3        3     3
sources drift drop                              4        2         2      0        0     0
sources drift drop orders --accept              4        2         2      4        0     1
sources cost drop                               4        2         2      0        0     0
sources cost drop --budget 5                    4        2         2      4        4     0
sources impact drop                             4        2         2      0        0     0
sources history                                 4        2         2      0        0     0
sources history drop                            4        2         2      0        0     0
sources history -o FILE                         4        2         2      0        0     0
sources test drop                               4        2         2      4        0     0
sources discover drop                           4        2         2      4        0     0
sources preflight drop                          4        2         2      4        0     0
sources preview drop orders                     4        2         2      0        0     0
sources lag drop orders                         4        2         2      1        1     1
sources show drop                               4        2         2      0        0     0
sources connect drop                            4        2         2      4        4     1
sources connect drop --forget                   4        2         2      4        4     1
sources inbox drop                              4        2         2      1        1     1
sources inbox drop --new-secret                 4        2         2      4        4     1
sources files drop                              4        2         2      0        0     0
sources ignore drop orders-2026-01.csv          4        2         2      4        0     0
sources ignore drop orders-2026-01.csv --undo   4        2         2      4        0     0
datasets                                        4        2         2      0        0     0
freshness list                                  4        2         2      0        0     0
freshness set orders --by 09:00                 4        2         2      4        4     0
freshness clear orders                          4        2         2      4        4     0
freshness set drop/orders --by 09:00            4        2         2      4        4     0
freshness clear drop/orders                     4        2         2      4        4     0
snapshots list orders                           4        2         2      0        0     0
snapshots show orders 1                         4        2         2      0        0     0
snapshots export orders 1 -o FILE               4        2         2      0        0     0
sql SELECT(1)                                   4        2         2      0        0     0
queries list                                    4        2         2      0        0     0
queries cancel ASKING                           4        2         2      0        4     0
queries saved                                   4        2         2      0        0     0
sources query db one SELECT(1)one               4        2         2      4        4     0
sources types drop orders                       4        2         2      0        0     0
sources types drop orders --set id=BIGINT       4        2         2      4        4     0
sources read drop orders delimiter=,            4        2         2      4        4     0
queries save One SELECT(1)                      4        2         2      4        0     0
sources upload given ORDERS                     4        2         2      4        0     0
sources uploads given                           4        2         2      0        0     0
sources discard given orders-2026-02.csv        4        2         2      4        4     0
sources remove more                             4        2         2      4        4     0
queries forget big-orders                       4        2         2      4        0     2
projects list                                   4        0         0      0        0     0
projects create third                           4        4         0      4        4     4
members list                                    4        2         2      0        0     0
members set olga operator                       4        2         2      4        4     0
members remove nina                             4        2         2      4        4     2
members invite Nina                             4        2         2      4        4     0
members invitations                             4        2         2      4        4     0
members withdraw INVITATION                     4        2         2      4        4     0
members join nonsense                           4        1         1      1        1     1
users list                                      4        4         0      4        4     4
users create nina                               4        4         0      4        4     4
users change olga --email=o@example.org         4        4         0      4        4     4
users password olga                             4        4         0      4        4     4
users deactivate olga                           4        4         0      4        4     4
users activate olga                             4        4         0      4        4     4
users unlock olga                               4        4         0      4        4     4
users remove-factor olga                        4        4         1      4        4     4
users end-sessions olga                         4        4         0      4        4     4
sessions list                                   4        0         0      0        0     0
sessions end --all                              4        0         0      0        0     0
audit list                                      4        2         2      0        0     0
audit export -o FILE                            4        2         2      0        0     0
audit verify                                    4        4         0      4        4     4
tokens list                                     4        0         0      0        0     0
tokens issue other                              4        0         0      0        0     0
tokens revoke TOKEN                             4        2         2      0        2     2
"""


def parsed(table: str) -> list[tuple[list[str], dict[str, str]]]:
    """The rows of a table: the words of what is done, and what each person gets."""
    lines = [each.split() for each in table.splitlines() if each.strip()][1:]
    count = len(PEOPLE)
    return [(words[:-count], dict(zip(PEOPLE, words[-count:], strict=True))) for words in lines]
