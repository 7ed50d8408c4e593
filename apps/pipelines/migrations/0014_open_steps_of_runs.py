import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0013_run_families'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='steprun',
            index=models.Index(condition=models.Q(('state__in', ['pending', 'ready', 'retry_wait', 'running'])), fields=['run', 'state'], name='step_open_of_run'),
        ),
        # Only the index goes. AlterField by itself would make the foreign key anew, too: that looks at the run of every
        # step, and nobody may read or write steps or runs meanwhile.
        migrations.RunSQL(
            sql='DROP INDEX IF EXISTS pipelines_steprun_run_id_d042ad8d',
            reverse_sql='CREATE INDEX pipelines_steprun_run_id_d042ad8d ON pipelines_steprun (run_id)',
            state_operations=[
                migrations.AlterField(
                    model_name='steprun',
                    name='run',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='steps', to='pipelines.run'),
                ),
            ],
        ),
    ]
