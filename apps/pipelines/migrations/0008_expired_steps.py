from django.db import migrations


class Migration(migrations.Migration):
    """Steps of runs that had expired stayed pending: they never ran and never will."""

    dependencies = [
        ('pipelines', '0007_freshness'),
    ]

    operations = [
        migrations.RunSQL(
            """
            UPDATE pipelines_steprun s SET state = 'skipped', finished_at = r.finished_at
            FROM pipelines_run r WHERE r.id = s.run_id AND r.state = 'expired' AND s.state = 'pending'
            """,
            migrations.RunSQL.noop,
        ),
    ]
