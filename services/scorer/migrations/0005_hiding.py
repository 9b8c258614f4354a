"""By which rules each published score was computed; and the confidential answers, counted a second time."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for statement in (*CONFIDENTIAL, RULES):
        op.execute(statement)


# A score that was computed by other rules than today's is computed again. Last, since it locks the table.
RULES = "ALTER TABLE scorer.scores ADD COLUMN rules text NOT NULL DEFAULT ''"

# Each confidential answer that is counted is counted in `Series.confidential` too, while the release before
# goes on counting: hence the locks, in the order of every writer. What that release counts after this,
# `closeloop rebuild scorer` finds.
CONFIDENTIAL = (
    """CREATE TEMP TABLE confidential ON COMMIT DROP AS
       SELECT store, response_id, respondent FROM scorer.answers
       WHERE series IS NOT NULL
         AND body::json ->> 'identity' NOT IN ('identified', 'anonymous')
         AND NOT EXISTS (SELECT FROM scorer.series s
                         WHERE s.id = ANY(series) AND s.scale LIKE '% confidential')""",
    """SELECT FROM scorer.respondents r JOIN (SELECT DISTINCT store, respondent FROM confidential) c
           USING (store, respondent)
       ORDER BY r.store, r.respondent FOR UPDATE OF r""",
    """CREATE TEMP TABLE places ON COMMIT DROP AS
       SELECT a.store, a.response_id, a.answered_at, a.day, a.grp, a.score, a.latest, s.id AS series,
              s.metric, s.scale || ' confidential' AS scale, s.segment, s.touchpoint
       FROM (SELECT a.* FROM scorer.answers a JOIN confidential USING (store, response_id)
             WHERE a.series IS NOT NULL ORDER BY a.store, a.response_id FOR UPDATE OF a) a
       JOIN scorer.series s ON s.id = ANY(a.series)""",
    """INSERT INTO scorer.series (store, metric, scale, segment, touchpoint)
       SELECT DISTINCT store, metric, scale, segment, touchpoint FROM places ON CONFLICT DO NOTHING""",
    """UPDATE scorer.answers a SET series = n.series
       FROM (SELECT store, response_id, array_agg(id ORDER BY id) AS series
             FROM (SELECT store, response_id, series AS id FROM places
                   UNION ALL
                   SELECT p.store, p.response_id, s.id FROM places p
                   JOIN scorer.series s USING (store, metric, scale, segment, touchpoint)) x
             GROUP BY store, response_id) n
       WHERE a.store = n.store AND a.response_id = n.response_id""",
    """INSERT INTO scorer.buckets AS b
       SELECT s.id, p.day, -1,
              count(*) FILTER (WHERE grp = -1), count(*) FILTER (WHERE grp = 0),
              count(*) FILTER (WHERE grp = 1), sum(score),
              count(*) FILTER (WHERE grp = -1 AND latest), count(*) FILTER (WHERE grp = 0 AND latest),
              count(*) FILTER (WHERE grp = 1 AND latest), coalesce(sum(score) FILTER (WHERE latest), 0), 1
       FROM places p JOIN scorer.series s USING (store, metric, scale, segment, touchpoint)
       GROUP BY s.id, p.day ORDER BY s.id, p.day
       ON CONFLICT (series, day, shard) DO UPDATE SET
           detractors = b.detractors + excluded.detractors, passives = b.passives + excluded.passives,
           promoters = b.promoters + excluded.promoters, points = b.points + excluded.points,
           latest_detractors = b.latest_detractors + excluded.latest_detractors,
           latest_passives = b.latest_passives + excluded.latest_passives,
           latest_promoters = b.latest_promoters + excluded.latest_promoters,
           latest_points = b.latest_points + excluded.latest_points, changes = b.changes + 1""",
    # The hours that were counted do not have them.
    """INSERT INTO scorer.hour_marks AS m (store, hour, shard, changes)
       SELECT DISTINCT store, date_trunc('hour', answered_at, 'UTC'), -1, 1 FROM places ORDER BY 1, 2
       ON CONFLICT (store, hour, shard) DO UPDATE SET changes = m.changes + 1""",
)
